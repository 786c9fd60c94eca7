/// Training steps on a GPU.
#include "support/gpu.hpp"
#include "support/training.hpp"
