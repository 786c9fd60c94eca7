/// Device memory, and copies between the host and it.
#pragma once

#include <cstddef>
#include <string>

#include <qlora/backend/cuda/runtime.cuh>
#include <qlora/core/memory.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

template <>
struct Memory<Space::device> {
  static std::byte* allocate(std::size_t bytes) {
    void* data = nullptr;
    cuda::check(cudaMalloc(&data, bytes),
                "cannot allocate " + std::to_string(bytes) + " bytes of device memory");
    return static_cast<std::byte*>(data);
  }
  static void deallocate(std::byte* data) noexcept { cudaFree(data); }
};

namespace cuda {

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

/// A copy of a tensor in memory space `To`.
template <Space To, class T, class S, Space From>
Tensor<T, S, To> copy_to(Tensor<T, S, From> const& from, cudaStream_t stream) {
  auto to = Tensor<T, S, To>{from.extents()};
  copy<T>(View<T const, S, From>{from}, to.view(), stream);
  return to;
}

}  // namespace cuda
}  // namespace qlora::inline v1
