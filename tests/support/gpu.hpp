/// The `Device` of tests that need a GPU: where there is none they are skipped.
#pragma once

#include <cstddef>
#include <new>

#include <qlora/backend/cuda.cuh>

namespace qlora::test {

struct Device {
  static bool available() { return cuda::device_status() == cudaSuccess; }
  static void wait() { cuda::check(cudaDeviceSynchronize(), "wait for the device"); }
  static void shuffle(unsigned) {}

  template <class T>
  using Backend = backend::Cuda<T>;

  /// Managed memory, or plain one where there is no device.
  template <class U>
  struct Allocator {
    using value_type = U;
    Allocator() = default;
    template <class V>
    Allocator(Allocator<V> const&) {}  // NOLINT(google-explicit-constructor)
    U* allocate(std::size_t count) {
      if (!available()) return static_cast<U*>(::operator new(count * sizeof(U)));
      void* data = nullptr;
      cuda::check(cudaMallocManaged(&data, count * sizeof(U)), "managed memory");
      return static_cast<U*>(data);
    }
    void deallocate(U* data, std::size_t) {
      if (!available()) {
        ::operator delete(data);
      } else {
        cudaFree(data);
      }
    }
    friend bool operator==(Allocator, Allocator) { return true; }
  };
};

}  // namespace qlora::test

using qlora::test::Device;
