/// Rounding a vector to another element type on the device.
#pragma once

#include <qlora/backend/cuda/runtime.cuh>
#include <qlora/core/memory.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::cuda {

template <class From, class To>
__global__ void round_kernel(From const* x, To* out, Index size) {
  auto const i = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < size) out[i] = convert<To>(x[i]);
}

/// out = x rounded once, in the order of `stream`; both dense.
template <class From, class To>
void round(Vector<From const, Space::device> x, Vector<To, Space::device> out,
           cudaStream_t stream) {
  expect_shape(out, x.extents(), "round: output");
  constexpr auto threads = 256u;
  if (x.size() == 0) return;
  auto const blocks = static_cast<unsigned>((x.size() + threads - 1) / threads);
  launch(round_kernel<From, To>, dim3{blocks}, dim3{threads}, stream, x.data(), out.data(),
         x.size());
}

}  // namespace qlora::inline v1::cuda
