/// The instructions of tensor cores as the tests' emulator has them.
#include "emulation/device.hpp"
#include "support/tensor_core.hpp"
