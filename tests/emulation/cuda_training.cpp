/// Training steps on the CUDA backend, its kernels run on the CPU.
#include "emulation/device.hpp"
#include "support/training.hpp"
