/// The instructions of tensor cores as the tests' emulator has them.
#include "support/tensor_core.hpp"

#include "emulation/device.hpp"
