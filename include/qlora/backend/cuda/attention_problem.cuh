/// What attention's kernels are given, and how packed sequences are cut into their blocks: a tile
/// of rows of one sequence and head each.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/pack.cuh>
#include <qlora/core/error.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

struct AttentionShape {
  std::int32_t const* offsets;
  Index sequences;
  Index longest;  ///< tokens of the longest sequence
  Index tokens;
  Index heads;
  Index head_dim;
};

/// out (n, heads head_dim) = softmax(q k^T) v; lse (heads, n) = log(sum(exp(q k^T))). Queries
/// arrive scaled and rotated.
template <class T>
struct AttentionForward {
  AttentionShape shape;
  Strided<T const> q, k, v;  ///< (n, heads head_dim)
  Strided<T> out;
  Strided<Accumulate<T>> lse;
};

/// Gradients of q, k and v, given out, its gradient and lse. `delta` (heads, n) is room for the
/// sums of dout out over a head's columns.
template <class T>
struct AttentionBackward {
  AttentionShape shape;
  Strided<T const> q, k, v, out, dout;
  Strided<Accumulate<T> const> lse;
  Strided<Accumulate<T>> delta;
  Strided<T> dq, dk, dv;
};

/// delta, a thread for each head and token; rows of the launch are heads.
template <class T>
struct AttentionDelta {
  using A = Accumulate<T>;
  Strided<T const> out, dout;
  Strided<A> delta;
  Index head_dim;
  __device__ void operator()(Index head, Index token) const {
    auto sum = A{0};
    for (auto c = head * head_dim; c < (head + 1) * head_dim; ++c) {
      sum += convert<A>(out(token, c)) * convert<A>(dout(token, c));
    }
    delta(head, token) = sum;
  }
};

/// The same for head dims of 8 `Lanes` in packs: a warp for each token, a lane for each pack.
template <class T, int Lanes>
struct PackedAttentionDelta {
  using A = Accumulate<T>;
  Strided<T const> out, dout;
  Strided<A> delta;
  int packs;  ///< in a row
  __device__ void operator()(Index token, int lane) const {
    for (auto first = 0; first < packs; first += warp_size) {
      auto const pack = first + lane;
      auto sum = A{0};
      if (pack < packs) {
        auto const o = load_pack(out, token, pack);
        auto const d = load_pack(dout, token, pack);
        QLORA_UNROLL
        for (auto i = 0; i < octet_size; ++i) {
          sum += convert<A>(o.values[i]) * convert<A>(d.values[i]);
        }
      }
      sum = lanes_sum<Lanes>(sum);
      if (pack < packs && lane % Lanes == 0) delta(pack / Lanes, token) = sum;
    }
  }
};

template <class T>
void attention_delta(AttentionBackward<T> const& problem, Stream const& stream) {
  auto const& shape = problem.shape;
  auto const columns = shape.heads * shape.head_dim;
  auto const packed =
      in_packs(problem.out, shape.tokens, columns) && in_packs(problem.dout, shape.tokens, columns);
  auto const start = [&](auto lanes) {
    for_each_row(shape.tokens, stream,
                 PackedAttentionDelta<T, lanes()>{problem.out, problem.dout, problem.delta,
                                                  static_cast<int>(columns / octet_size)});
  };
  if (packed && shape.head_dim == 16) return start(std::integral_constant<int, 2>{});
  if (packed && shape.head_dim == 32) return start(std::integral_constant<int, 4>{});
  if (packed && shape.head_dim == 64) return start(std::integral_constant<int, 8>{});
  if (packed && shape.head_dim == 128) return start(std::integral_constant<int, 16>{});
  for_each_element(shape.heads, shape.tokens, stream,
                   AttentionDelta<T>{problem.out, problem.dout, problem.delta, shape.head_dim});
}

/// A tile of a sequence.
struct SequenceTile {
  Index first;  ///< token at which the sequence starts
  int length;   ///< of the sequence
  int begin;    ///< row of the sequence at which the tile starts; none for begin >= length
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
  auto const first = shape.offsets[low];
  return {first, shape.offsets[low + 1] - first,
          static_cast<int>((number - first / rows - low) * rows)};
}

/// Threads that share a row of scores. They are neighbours in a warp.
inline constexpr int row_threads = 4;

/// The largest value of the threads that share a row.
template <class A>
__device__ A row_largest(A value) {
  for (auto lanes = row_threads / 2; lanes > 0; lanes /= 2) {
    auto const other = __shfl_xor_sync(~0u, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}

/// Starts a kernel with a block for every tile of `rows` of every head.
template <class Problem>
void launch_tiles(void (*kernel)(Problem), Problem const& problem, Index rows, int threads,
                  Stream const& stream) {
  auto const& shape = problem.shape;
  auto const tiles = static_cast<unsigned>(shape.tokens / rows + shape.sequences);
  launch(kernel, dim3{tiles, static_cast<unsigned>(shape.heads)},
         dim3{static_cast<unsigned>(threads)}, stream, problem);
}

/// Calls `body` with the smallest padded head dim, as a type, that holds `head_dim`. Throws
/// ShapeError above 128, and for an odd one.
template <class Body>
void with_head_dim(Index head_dim, Body&& body) {
  if (head_dim % 2 != 0) {
    throw ShapeError{"attention: expected an even head dim, got " + std::to_string(head_dim)};
  }
  if (head_dim <= 16) return body(std::integral_constant<int, 16>{});
  if (head_dim <= 32) return body(std::integral_constant<int, 32>{});
  if (head_dim <= 64) return body(std::integral_constant<int, 64>{});
  if (head_dim <= 128) return body(std::integral_constant<int, 128>{});
  throw ShapeError{"attention: expected a head dim up to 128, got " + std::to_string(head_dim)};
}

}  // namespace qlora::inline v1::cuda
