/// The `Device` of tests that run kernels on the CPU.
#pragma once

#include <cstddef>
#include <memory>

#include <qlora/backend/cuda/backend.cuh>

#include "emulation/products.hpp"

namespace emulation {

struct Device {
  template <class T>
  using Backend = qlora::cuda::Backend<T, Products>;
  /// Memory that is not given back before what works on it has come to an end.
  template <class U>
  struct Allocator : std::allocator<U> {
    void deallocate(U* data, std::size_t count) {
      finish_quietly();
      std::allocator<U>::deallocate(data, count);
    }
    template <class V>
    struct rebind {
      using other = Allocator<V>;
    };
  };
  static bool available() { return true; }
  static void wait() { finish_all(); }
  static void shuffle(unsigned seed) {
    machine().seed = seed;
    queues().random.seed(seed);
  }
};

}  // namespace emulation

using emulation::Device;
