/// Kernels that quantize, run on the CPU.
#include "emulation/device.hpp"
#include "support/quantize.hpp"
