/// The instructions of tensor cores on a GPU.
#include "support/gpu.hpp"
#include "support/tensor_core.hpp"
