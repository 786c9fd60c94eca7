/// Sums over tokens. Every sum is cut into chunks of a fixed size, and partial sums are added in
/// order: no atomics, the same bits every time.
#pragma once

#include <array>
#include <cstdint>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/formulas.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

inline constexpr Index reduction_chunk = 64;  ///< tokens of one partial sum
inline constexpr int reduction_threads = 256;

inline constexpr int partial_rows = 8;  ///< threads that share an element of add_partials

template <class A>
struct PartialSums {
  A values[partial_rows][warp_size];
};

/// out (size / columns, columns) += the sums of partials (chunks, size). Threads that share an
/// element take every eighth chunk, and what they have is added in order.
template <class A>
__global__ void add_partials_kernel(A const* partials, Index chunks, Index size, Index columns,
                                    Strided<A> out) {
  auto& shared = shared_storage<PartialSums<A>>();
  auto const i = Index{blockIdx.x} * warp_size + threadIdx.x;
  auto own = A{0};
  for (auto chunk = Index{threadIdx.y}; i < size && chunk < chunks; chunk += partial_rows) {
    own += partials[chunk * size + i];
  }
  shared.values[threadIdx.y][threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.y > 0 || i >= size) return;
  auto sum = A{0};
  for (auto const& row : shared.values) sum += row[threadIdx.x];
  out(i / columns, i % columns) += sum;
}

/// The end of the chunk that starts at `first`, of `rows` in all.
__device__ inline Index end_of_chunk(Index first, Index rows) {
  return first + reduction_chunk < rows ? first + reduction_chunk : rows;
}

/// partials (chunks, columns) = sums over each chunk's rows.
template <class A>
struct SumRows {
  Strided<A const> x;
  Index rows, columns;
  A* partials;
  __device__ void operator()(Index chunk, Index j) const {
    auto sum = A{0};
    auto const first = chunk * reduction_chunk;
    for (auto i = first; i < end_of_chunk(first, rows); ++i) sum += x(i, j);
    partials[chunk * columns + j] = sum;
  }
};

struct BlockSums {
  double warps[reduction_threads / warp_size];
};

/// The sum of all threads' values, in thread 0.
__device__ inline double block_sum(double value) {
  auto& shared = shared_storage<BlockSums>();
  auto const thread = static_cast<int>(threadIdx.x);
  value = lanes_sum(value);
  if (thread % warp_size == 0) shared.warps[thread / warp_size] = value;
  __syncthreads();
  if (thread > 0) return 0.;
  auto sum = 0.;
  for (auto const warp : shared.warps) sum += warp;
  return sum;
}

/// partials[block] = the block's share of the sum of `term(i)` over i < size.
template <class Term>
__global__ void sum_kernel(Term term, Index size, double* partials) {
  auto const i = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  auto const sum = block_sum(i < size ? term(i) : 0.);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

/// *out = or += the sum of all partials, by one block: each thread takes every `Threads`-th, in
/// order.
template <int Threads>
__global__ void finish_sum_kernel(double const* partials, Index count, Write write, double* out) {
  auto own = 0.;
  for (auto i = Index{threadIdx.x}; i < count; i += Threads) own += partials[i];
  auto const sum = block_sum(own);
  if (threadIdx.x == 0) *out = write == Write::assign ? sum : *out + sum;
}

/// The square of element i.
template <class A>
struct Square {
  A const* values;
  __device__ double operator()(Index i) const {
    auto const value = static_cast<double>(values[i]);
    return value * value;
  }
};

/// Weighted negative log-likelihood of token i; writes its gradient.
template <class A>
struct CrossEntropy {
  Strided<A const> logits;
  std::int32_t const* labels;
  double weights[2];
  double scale;
  Strided<A> gradient;
  __device__ double operator()(Index i) const {
    auto const label = labels[i];
    if (label == ignored_label) {
      gradient(i, 0) = gradient(i, 1) = A{0};
      return 0.;
    }
    auto const margin = static_cast<double>(logits(i, 1)) - static_cast<double>(logits(i, 0));
    auto const likelihood = formula::cross_entropy(margin, label);
    auto const slope = weights[label] * scale * likelihood.gradient;
    gradient(i, 0) = static_cast<A>(-slope);
    gradient(i, 1) = static_cast<A>(slope);
    return weights[label] * likelihood.loss;
  }
};

}  // namespace qlora::inline v1::cuda
