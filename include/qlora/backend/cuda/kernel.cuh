/// What kernels are made of: rows that lie apart, one function over all elements, sums of a warp.
#pragma once

#include <algorithm>

#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/memory.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::cuda {

/// A matrix as a kernel sees it: rows lie `stride` elements apart, columns `step`.
template <class T>
struct Strided {
  T* data = nullptr;
  Index stride = 0;
  Index step = 1;

  __device__ T& operator()(Index i, Index j) const { return data[i * stride + j * step]; }
};
template <class T>
Strided<T> strided(Matrix<T, Space::device> matrix) {
  return {matrix.data(), matrix.stride()};
}
template <class T>
Strided<T> transposed(Matrix<T, Space::device> matrix) {
  return {matrix.data(), 1, matrix.stride()};
}

inline constexpr int warp_size = 32;
inline constexpr int warps_per_block = 4;
/// Blocks that a grid may have in its second and third dimension.
inline constexpr Index grid_limit = 65'535;

inline unsigned blocks_for(Index work, Index per_block) {
  return static_cast<unsigned>(ceil_div(work, per_block));
}

/// The sum of the values of `Lanes` neighbours, the same bits in each of them: always added in the
/// same order.
template <int Lanes = warp_size, class A>
__device__ A lanes_sum(A value) {
  for (auto lanes = Lanes / 2; lanes > 0; lanes /= 2) {
    value += __shfl_xor_sync(~0u, value, lanes);
  }
  return value;
}

template <class Body>
__global__ void for_each_element_kernel(Body body, Index rows, Index columns) {
  auto const column = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  for (auto row = Index{blockIdx.y}; row < rows; row += gridDim.y) body(row, column);
}

/// Calls `body(row, column)`, a device function object, for every element of a matrix.
template <class Body>
void for_each_element(Index rows, Index columns, Stream const& stream, Body const& body) {
  if (rows == 0 || columns == 0) return;
  // Narrow matrices get narrow blocks: a warp at least.
  auto const threads = std::clamp<Index>(round_up(columns, warp_size), 32, 256);
  auto const grid =
      dim3{blocks_for(columns, threads), static_cast<unsigned>(std::min(rows, grid_limit))};
  launch(for_each_element_kernel<Body>, grid, dim3{static_cast<unsigned>(threads)}, stream, body,
         rows, columns);
}

template <class Body>
__global__ void for_each_row_kernel(Body body, Index rows) {
  auto const row = Index{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row < rows) body(row, static_cast<int>(threadIdx.x));
}

/// Calls `body(row, lane)`, a device function object, with a whole warp for every row.
template <class Body>
void for_each_row(Index rows, Stream const& stream, Body const& body) {
  if (rows == 0) return;
  launch(for_each_row_kernel<Body>, dim3{blocks_for(rows, warps_per_block)},
         dim3{warp_size, warps_per_block}, stream, body, rows);
}

}  // namespace qlora::inline v1::cuda
