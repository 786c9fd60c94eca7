/// Kernels that quantize, on a GPU.
#include "support/gpu.hpp"
#include "support/quantize.hpp"
