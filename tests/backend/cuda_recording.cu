/// Recordings on a GPU.
#include "support/gpu.hpp"
#include "support/recording.hpp"
