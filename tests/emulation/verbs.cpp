/// The verbs of the CUDA backend, their kernels run on the CPU.
#include "support/verbs.hpp"

#include "emulation/device.hpp"
