/// The verbs of the CUDA backend on a GPU.
#include "support/gpu.hpp"
#include "support/verbs.hpp"
