/// Recordings, run on the CPU.
#include "emulation/device.hpp"
#include "support/recording.hpp"
