/// Device memory, and copies between the host and it.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include <qlora/backend/cuda/runtime.cuh>
#include <qlora/core/memory.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/core/transfer.hpp>

namespace qlora::inline v1 {

/// Also counts what is held, for reports: the device itself tells of all programs' memory alone.
template <>
struct Memory<Space::device> {
  static std::byte* allocate(std::size_t bytes) {
    void* data = nullptr;
    cuda::check(cudaMalloc(&data, bytes),
                "cannot allocate " + std::to_string(bytes) + " bytes of device memory");
    auto const held = held_bytes += bytes;
    auto most = peak_bytes.load();
    while (most < held && !peak_bytes.compare_exchange_weak(most, held)) {
    }
    return static_cast<std::byte*>(data);
  }
  static void deallocate(std::byte* data, std::size_t bytes) noexcept {
    cudaFree(data);
    held_bytes -= bytes;
  }

  inline static std::atomic<std::size_t> held_bytes = 0;
  inline static std::atomic<std::size_t> peak_bytes = 0;  ///< since a program last lowered it
};

/// Waits for all work of the device first, on whatever stream it was queued, and for the copy,
/// which cudaMemcpy itself does not when it comes from pageable memory.
template <Space To, Space From>
requires(To == Space::device || From == Space::device) struct Transfer<To, From> {
  static void run(void* to, void const* from, std::size_t bytes) {
    cuda::check(cudaDeviceSynchronize(), "wait for the device");
    cuda::check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault),
                "copy of " + std::to_string(bytes) + " bytes");
    cuda::check(cudaStreamSynchronize(nullptr), "wait for a copy");
  }
};

namespace cuda {

/// Memory of the host that copies to and from the device reach while the program goes on.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t bytes) : bytes_{bytes} {
    void* data = nullptr;
    check(cudaMallocHost(&data, bytes),
          "cannot allocate " + std::to_string(bytes) + " bytes of pinned memory");
    data_.reset(static_cast<std::byte*>(data));
  }
  std::byte* data() const { return data_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept { cudaFreeHost(data); }
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t bytes_ = 0;
};

/// to = from, in the order of `stream`; both dense and of one shape. Host memory is pageable: the
/// call returns when a copy from it has been read. Throws ShapeError.
template <class T, class From, class To, Space A, Space B>
void copy(View<T const, From, A> from, View<T, To, B> to, cudaStream_t stream) {
  expect_shape(to, from.extents(), "copy: destination");
  if (from.size() == 0) return;
  if (!from.is_dense() || !to.is_dense()) {
    throw ShapeError{"copy: expected dense tensors of " + from.shape() + ", got strides " +
                     std::to_string(from.stride()) + " and " + std::to_string(to.stride())};
  }
  check(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(T),
                        cudaMemcpyDefault, stream),
        "copy of " + from.shape());
}

}  // namespace cuda
}  // namespace qlora::inline v1
