/// Attention in float and double, whose products are exact to the last bits of these types: fused
/// multiply-adds on tiles in shared memory.
#pragma once

#include <cmath>
#include <limits>

#include <qlora/backend/cuda/attention_problem.cuh>
#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// Rows of a tile: the most of which four tiles and two squares of scores fit 48 KiB of shared
/// memory.
template <class A, int D>
inline constexpr int attention_tile = [] {
  constexpr auto limit = 47 * 1024;
  auto rows = 32;
  while (static_cast<int>(sizeof(A)) * rows * (4 * (D + 1) + 2 * (rows + 1)) > limit) rows /= 2;
  return rows;
}();

/// A tile of rows of one head, padded with zeros; the odd width spreads rows over banks.
template <class A, int D>
struct HeadTile {
  static constexpr int rows = attention_tile<A, D>;
  A values[rows][D + 1];
};

/// Fills a tile from rows begin ... of a sequence; all threads of the block take part.
template <class T, class A, int D>
__device__ void load(HeadTile<A, D>& tile, Strided<T const> const& x, AttentionShape const& shape,
                     SequenceTile const& at, Index begin, Index head) {
  for (auto i = static_cast<int>(threadIdx.x); i < HeadTile<A, D>::rows * D;
       i += static_cast<int>(blockDim.x)) {
    auto const row = i / D;
    auto const column = i % D;
    auto const inside = begin + row < at.length && column < shape.head_dim;
    tile.values[row][column] =
        inside ? convert<A>(x(at.first + begin + row, head * shape.head_dim + column)) : A{0};
  }
}

template <class A, int D>
__device__ A dot(HeadTile<A, D> const& a, int i, HeadTile<A, D> const& b, int j) {
  auto sum = A{0};
  for (auto c = 0; c < D; ++c) sum += a.values[i][c] * b.values[j][c];
  return sum;
}

/// sums[c] += the sum over j of weights[j] tile[j][part + 4 c].
template <class A, int D>
__device__ void add_rows(A (&sums)[D / row_threads], A const* weights, HeadTile<A, D> const& tile,
                         int part) {
  for (auto j = 0; j < HeadTile<A, D>::rows; ++j) {
    auto const weight = weights[j];
    QLORA_UNROLL
    for (auto c = 0; c < D / row_threads; ++c) {
      sums[c] += weight * tile.values[j][part + row_threads * c];
    }
  }
}

/// Writes a thread's columns of a row.
template <class T, class A, int N>
__device__ void store(A const (&sums)[N], A scale, Strided<T> const& out,
                      AttentionShape const& shape, Index token, Index head, int part) {
  QLORA_UNROLL
  for (auto c = 0; c < N; ++c) {
    auto const column = part + row_threads * c;
    if (column < shape.head_dim) {
      out(token, head * shape.head_dim + column) = convert<T>(scale * sums[c]);
    }
  }
}

template <class A, int D>
struct AttentionShared {
  static constexpr int rows = HeadTile<A, D>::rows;
  HeadTile<A, D> q, k, v;
  A weights[rows][rows + 1];
};

/// A block for each tile of queries.
template <class T, int D>
__global__ void attention_kernel(AttentionForward<T> in) {
  using A = Accumulate<T>;
  constexpr auto rows = HeadTile<A, D>::rows;
  auto& shared = shared_storage<AttentionShared<A, D>>();
  auto const at = tile_of(in.shape, rows, blockIdx.x);
  if (at.begin >= at.length) return;
  auto const head = Index{blockIdx.y};
  auto const row = static_cast<int>(threadIdx.x) / row_threads;
  auto const part = static_cast<int>(threadIdx.x) % row_threads;
  load(shared.q, in.q, in.shape, at, at.begin, head);

  auto largest = -std::numeric_limits<A>::infinity();
  auto total = A{0};
  A sums[D / row_threads] = {};
  for (auto begin = Index{0}; begin < at.length; begin += rows) {
    __syncthreads();  // the tile before is no longer read
    load(shared.k, in.k, in.shape, at, begin, head);
    load(shared.v, in.v, in.shape, at, begin, head);
    __syncthreads();
    A scores[rows / row_threads];
    auto next = largest;
    QLORA_UNROLL
    for (auto j = 0; j < rows / row_threads; ++j) {
      auto const key = part + row_threads * j;
      scores[j] = begin + key < at.length ? dot(shared.q, row, shared.k, key)
                                          : -std::numeric_limits<A>::infinity();
      next = scores[j] > next ? scores[j] : next;
    }
    next = row_largest(next);
    auto sum = A{0};
    QLORA_UNROLL
    for (auto j = 0; j < rows / row_threads; ++j) {
      auto const weight = std::exp(scores[j] - next);
      shared.weights[row][part + row_threads * j] = weight;
      sum += weight;
    }
    auto const correction = std::exp(largest - next);
    total = total * correction + lanes_sum<row_threads>(sum);
    largest = next;
    for (auto& value : sums) value *= correction;
    __syncwarp();
    add_rows(sums, shared.weights[row], shared.v, part);
  }
  if (at.begin + row >= at.length) return;
  auto const token = at.first + at.begin + row;
  store(sums, A{1} / total, in.out, in.shape, token, head, part);
  if (part == 0) in.lse(head, token) = largest + std::log(total);
}

template <class A, int D>
struct AttentionBackwardShared {
  static constexpr int rows = HeadTile<A, D>::rows;
  HeadTile<A, D> own, own_gradient, other, other_gradient;
  A weights[rows][rows + 1];
};

/// dq = ds k, where ds = p (dout v^T - delta): a block for each tile of queries.
template <class T, int D>
__global__ void attention_queries_backward_kernel(AttentionBackward<T> in) {
  using A = Accumulate<T>;
  constexpr auto rows = HeadTile<A, D>::rows;
  auto& shared = shared_storage<AttentionBackwardShared<A, D>>();
  auto const at = tile_of(in.shape, rows, blockIdx.x);
  if (at.begin >= at.length) return;
  auto const head = Index{blockIdx.y};
  auto const row = static_cast<int>(threadIdx.x) / row_threads;
  auto const part = static_cast<int>(threadIdx.x) % row_threads;
  auto const token = at.first + at.begin + row;
  auto const inside = at.begin + row < at.length;
  auto const lse = inside ? in.lse(head, token) : A{0};
  auto const delta = inside ? in.delta(head, token) : A{0};
  load(shared.own, in.q, in.shape, at, at.begin, head);
  load(shared.own_gradient, in.dout, in.shape, at, at.begin, head);

  A sums[D / row_threads] = {};
  for (auto begin = Index{0}; begin < at.length; begin += rows) {
    __syncthreads();
    load(shared.other, in.k, in.shape, at, begin, head);
    load(shared.other_gradient, in.v, in.shape, at, begin, head);
    __syncthreads();
    QLORA_UNROLL
    for (auto j = 0; j < rows / row_threads; ++j) {
      auto const key = part + row_threads * j;
      auto ds = A{0};
      if (begin + key < at.length) {
        auto const p = std::exp(dot(shared.own, row, shared.other, key) - lse);
        ds = p * (dot(shared.own_gradient, row, shared.other_gradient, key) - delta);
      }
      shared.weights[row][key] = ds;
    }
    __syncwarp();
    add_rows(sums, shared.weights[row], shared.other, part);
  }
  if (inside) store(sums, A{1}, in.dq, in.shape, token, head, part);
}

template <class A, int D>
struct AttentionKeysShared : AttentionBackwardShared<A, D> {
  static constexpr int rows = HeadTile<A, D>::rows;
  A score_gradients[rows][rows + 1];
  A lse[rows], delta[rows];
};

/// dk = ds^T q and dv = p^T dout: a block for each tile of keys.
template <class T, int D>
__global__ void attention_keys_backward_kernel(AttentionBackward<T> in) {
  using A = Accumulate<T>;
  constexpr auto rows = HeadTile<A, D>::rows;
  auto& shared = shared_storage<AttentionKeysShared<A, D>>();
  auto const at = tile_of(in.shape, rows, blockIdx.x);
  if (at.begin >= at.length) return;
  auto const head = Index{blockIdx.y};
  auto const row = static_cast<int>(threadIdx.x) / row_threads;
  auto const part = static_cast<int>(threadIdx.x) % row_threads;
  load(shared.own, in.k, in.shape, at, at.begin, head);
  load(shared.own_gradient, in.v, in.shape, at, at.begin, head);

  A key_sums[D / row_threads] = {};
  A value_sums[D / row_threads] = {};
  for (auto begin = Index{0}; begin < at.length; begin += rows) {
    __syncthreads();
    load(shared.other, in.q, in.shape, at, begin, head);
    load(shared.other_gradient, in.dout, in.shape, at, begin, head);
    if (part == 0 && begin + row < at.length) {
      auto const query = at.first + begin + row;
      shared.lse[row] = in.lse(head, query);
      shared.delta[row] = in.delta(head, query);
    }
    __syncthreads();
    QLORA_UNROLL
    for (auto j = 0; j < rows / row_threads; ++j) {
      auto const query = part + row_threads * j;
      auto p = A{0};
      auto ds = A{0};
      if (begin + query < at.length) {
        p = std::exp(dot(shared.own, row, shared.other, query) - shared.lse[query]);
        ds =
            p * (dot(shared.own_gradient, row, shared.other_gradient, query) - shared.delta[query]);
      }
      shared.weights[row][query] = p;
      shared.score_gradients[row][query] = ds;
    }
    __syncwarp();
    add_rows(key_sums, shared.score_gradients[row], shared.other, part);
    add_rows(value_sums, shared.weights[row], shared.other_gradient, part);
  }
  if (at.begin + row >= at.length) return;
  auto const token = at.first + at.begin + row;
  store(key_sums, A{1}, in.dk, in.shape, token, head, part);
  store(value_sums, A{1}, in.dv, in.shape, token, head, part);
}

/// Attention by these kernels, in any compute type.
struct FmaAttention {
  template <class T>
  static void forward(AttentionForward<T> const& problem, Stream const& stream) {
    with_head_dim(problem.shape.head_dim, [&]<int D>(std::integral_constant<int, D>) {
      launch<T, D>(attention_kernel<T, D>, problem, stream);
    });
  }
  template <class T>
  static void backward(AttentionBackward<T> const& problem, Stream const& stream) {
    with_head_dim(problem.shape.head_dim, [&]<int D>(std::integral_constant<int, D>) {
      launch<T, D>(attention_queries_backward_kernel<T, D>, problem, stream);
      launch<T, D>(attention_keys_backward_kernel<T, D>, problem, stream);
    });
  }

 private:
  template <class T, int D, class Problem>
  static void launch(void (*kernel)(Problem), Problem const& problem, Stream const& stream) {
    constexpr auto rows = HeadTile<Accumulate<T>, D>::rows;
    launch_tiles(kernel, problem, rows, rows * row_threads, stream);
  }
};

}  // namespace qlora::inline v1::cuda
