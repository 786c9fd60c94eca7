/// Self-attention over packed sequences, tile by tile with an online softmax (Dao et al.,
/// arXiv:2205.14135). Queries arrive scaled and rotated. Nothing of size length x length is stored;
/// the backward pass computes probabilities again from the log-sum-exp, once for the gradient of
/// queries and once for those of keys and values, so that no sum needs atomics.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/core/error.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// Threads that share a row of scores. They are neighbours in a warp.
inline constexpr int row_threads = 4;

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

/// What the queries, keys, values and gradients of a batch look like to a kernel.
struct AttentionShape {
  std::int32_t const* offsets;
  Index sequences;
  Index head_dim;
};

/// A tile of a sequence.
struct SequenceTile {
  Index first;   ///< token at which the sequence starts
  Index length;  ///< of the sequence
  Index begin;   ///< row of the sequence at which the tile starts; none for begin >= length
};

/// The tile of block `number`. Sequence s owns the blocks from offset / rows + s on: enough of
/// them, found without a table, and a few that have nothing to do.
__device__ inline SequenceTile tile_of(AttentionShape const& shape, Index rows, Index number) {
  auto low = Index{0};
  auto high = shape.sequences - 1;
  while (low < high) {
    auto const middle = (low + high + 1) / 2;
    if (shape.offsets[middle] / rows + middle <= number) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  auto const first = Index{shape.offsets[low]};
  return {first, shape.offsets[low + 1] - first, (number - first / rows - low) * rows};
}

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

/// The largest value of the threads that share a row.
template <class A>
__device__ A row_largest(A value) {
  for (auto lanes = row_threads / 2; lanes > 0; lanes /= 2) {
    auto const other = __shfl_xor_sync(~0u, value, lanes);
    value = other > value ? other : value;
  }
  return value;
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

/// out (n, heads head_dim) = softmax(q k^T) v; lse (heads, n) = log(sum(exp(q k^T))).
template <class T, int D>
__global__ void attention_kernel(AttentionShape shape, Strided<T const> q, Strided<T const> k,
                                 Strided<T const> v, Strided<T> out, Strided<Accumulate<T>> lse) {
  using A = Accumulate<T>;
  constexpr auto rows = HeadTile<A, D>::rows;
  auto& shared = shared_storage<AttentionShared<A, D>>();
  auto const at = tile_of(shape, rows, blockIdx.x);
  if (at.begin >= at.length) return;
  auto const head = Index{blockIdx.y};
  auto const row = static_cast<int>(threadIdx.x) / row_threads;
  auto const part = static_cast<int>(threadIdx.x) % row_threads;
  load(shared.q, q, shape, at, at.begin, head);

  auto largest = -std::numeric_limits<A>::infinity();
  auto total = A{0};
  A sums[D / row_threads] = {};
  for (auto begin = Index{0}; begin < at.length; begin += rows) {
    __syncthreads();  // the tile before is no longer read
    load(shared.k, k, shape, at, begin, head);
    load(shared.v, v, shape, at, begin, head);
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
  store(sums, A{1} / total, out, shape, token, head, part);
  if (part == 0) lse(head, token) = largest + std::log(total);
}

/// delta (heads, n) = the sum over a head's columns of dout out; rows of the launch are heads.
template <class T>
struct AttentionDelta {
  using A = Accumulate<T>;
  Strided<T const> out, dout;
  A* delta;
  Index tokens, head_dim;
  __device__ void operator()(Index head, Index token) const {
    auto sum = A{0};
    for (auto c = head * head_dim; c < (head + 1) * head_dim; ++c) {
      sum += convert<A>(out(token, c)) * convert<A>(dout(token, c));
    }
    delta[head * tokens + token] = sum;
  }
};

/// What both halves of the backward pass read.
template <class T>
struct AttentionGradient {
  using A = Accumulate<T>;
  AttentionShape shape;
  Strided<T const> q, k, v, dout;
  Strided<A const> lse;
  A const* delta;  ///< (heads, n)
  Index tokens;
};

template <class A, int D>
struct AttentionBackwardShared {
  static constexpr int rows = HeadTile<A, D>::rows;
  HeadTile<A, D> own, own_gradient, other, other_gradient;
  A weights[rows][rows + 1];
};

/// dq = ds k, where ds = p (dout v^T - delta): a block for each tile of queries.
template <class T, int D>
__global__ void attention_queries_backward_kernel(AttentionGradient<T> in, Strided<T> dq) {
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
  auto const delta = inside ? in.delta[head * in.tokens + token] : A{0};
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
  if (inside) store(sums, A{1}, dq, in.shape, token, head, part);
}

template <class A, int D>
struct AttentionKeysShared : AttentionBackwardShared<A, D> {
  static constexpr int rows = HeadTile<A, D>::rows;
  A score_gradients[rows][rows + 1];
  A lse[rows], delta[rows];
};

/// dk = ds^T q and dv = p^T dout: a block for each tile of keys.
template <class T, int D>
__global__ void attention_keys_backward_kernel(AttentionGradient<T> in, Strided<T> dk,
                                               Strided<T> dv) {
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
      shared.delta[row] = in.delta[head * in.tokens + query];
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
  store(key_sums, A{1}, dk, in.shape, token, head, part);
  store(value_sums, A{1}, dv, in.shape, token, head, part);
}

/// Calls `body` with the smallest padded head dim, as a type, that holds `head_dim`. Throws
/// ShapeError above 128.
template <class Body>
void with_head_dim(Index head_dim, Body&& body) {
  if (head_dim <= 16) return body(std::integral_constant<int, 16>{});
  if (head_dim <= 32) return body(std::integral_constant<int, 32>{});
  if (head_dim <= 64) return body(std::integral_constant<int, 64>{});
  if (head_dim <= 128) return body(std::integral_constant<int, 128>{});
  throw ShapeError{"attention: expected a head dim up to 128, got " + std::to_string(head_dim)};
}

/// Starts a kernel with a block for every tile of every head.
template <class A, int D, class... Parameters, class... Arguments>
void launch_tiles(void (*kernel)(Parameters...), Packing<Space::device> const& packing, Index heads,
                  cudaStream_t stream, Arguments const&... arguments) {
  constexpr auto rows = HeadTile<A, D>::rows;
  auto const tiles = packing.tokens() / rows + packing.sequences();
  launch(kernel, dim3{static_cast<unsigned>(tiles), static_cast<unsigned>(heads)},
         dim3{rows * row_threads}, stream, arguments...);
}

}  // namespace qlora::inline v1::cuda
