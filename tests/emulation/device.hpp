/// The `Device` of tests that run kernels on the CPU.
#pragma once

#include <memory>

#include <qlora/backend/cuda/backend.cuh>

#include "emulation/products.hpp"

namespace emulation {

struct Device {
  template <class T>
  using Backend = qlora::cuda::Backend<T, Products>;
  template <class U>
  using Allocator = std::allocator<U>;
  static bool available() { return true; }
  static void wait() {}
  static void shuffle(unsigned seed) { machine().seed = seed; }
};

}  // namespace emulation

using emulation::Device;
