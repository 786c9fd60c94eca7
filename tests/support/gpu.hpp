/// The `Device` of tests that need a GPU: where there is none they are skipped.
#pragma once

#include <cstddef>
#include <new>

#include <qlora/backend/cuda.cuh>

namespace qlora::test {

struct Device {
  static bool available() {
    static auto const found = cuda::device_status() == cudaSuccess;  // whatever fails later
    return found;
  }
  static void wait() { cuda::check(cudaDeviceSynchronize(), "wait for the device"); }
  static void shuffle(unsigned) {}

  template <class T>
  using Backend = backend::Cuda<T>;

  /// Pinned memory, which host and device see, or plain one where there is no device.
  template <class U>
  struct Allocator {
    using value_type = U;
    Allocator() = default;
    template <class V>
    Allocator(Allocator<V> const&) {}  // NOLINT(google-explicit-constructor)
    U* allocate(std::size_t count) {
      if (!available()) return static_cast<U*>(::operator new(count * sizeof(U)));
      void* data = nullptr;
      cuda::check(cudaMallocHost(&data, count * sizeof(U)), "pinned memory");
      return static_cast<U*>(data);
    }
    void deallocate(U* data, std::size_t) {
      if (!available()) {
        ::operator delete(data);
      } else {
        cudaFreeHost(data);
      }
    }
    friend bool operator==(Allocator, Allocator) { return true; }
  };
};

}  // namespace qlora::test

using qlora::test::Device;
