/// The verbs of the CUDA backend, their kernels run on the CPU.
#include "emulation/device.hpp"
#include "support/verbs.hpp"
