/// Attention in bf16 on tensor cores, tile by tile with an online softmax (Dao, arXiv:2307.08691).
/// A warp owns 16 rows, kept in registers as operands; tiles of the other side pass through shared
/// memory, the next one on its way while one is used. Scores stay in registers: what one product
/// leaves is the operand of the next.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numbers>
#include <type_traits>

#include <qlora/backend/cuda/attention_problem.cuh>
#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/tensor_core.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

inline constexpr int warp_rows = 16;
inline constexpr int block_rows = warp_rows * warps_per_block;
inline constexpr float log2_e = std::numbers::log2e_v<float>;

/// A matrix of one head's columns, and whether each 16 bytes of it can be read at once.
struct HeadMatrix {
  Strided<bf16 const> x;
  Index first_column;
  Index head_dim;
  bool aligned;

  __device__ HeadMatrix(Strided<bf16 const> const& matrix, AttentionShape const& shape, Index head)
      : x{matrix},
        first_column{head * shape.head_dim},
        head_dim{shape.head_dim},
        aligned{reinterpret_cast<std::uintptr_t>(matrix.data) % 16 == 0 && matrix.stride % 8 == 0 &&
                shape.head_dim % 8 == 0} {}

  /// The bits of an element; 0 right of the head.
  __device__ std::uint16_t bits(Index row, Index column) const {
    return column < head_dim ? x(row, first_column + column).bits : std::uint16_t{0};
  }
  __device__ Pair16 pair(Index row, Index column) const {
    return Pair16{bits(row, column)} | Pair16{bits(row, column + 1)} << 16;
  }
};

/// Rows of one head in shared memory, padded with zeros. Eight rows of 16 bytes, which are read at
/// once, lie in different banks.
template <int D>
struct NarrowTile {
  static constexpr int rows = D <= 64 ? 64 : 32;
  static constexpr int octets = D / 8;
  alignas(16) std::uint16_t values[rows][D + 8];

  /// Begins to fill the tile from rows `begin` ... of a sequence; the whole block takes part.
  __device__ void load(HeadMatrix const& from, SequenceTile const& at, int begin) {
    for (auto i = static_cast<int>(threadIdx.x); i < rows * octets;
         i += static_cast<int>(blockDim.x)) {
      auto const row = i / octets;
      auto const column = i % octets * 8;
      auto const inside = begin + row < at.length;
      // Rows outside are not looked at, but pointed into the matrix.
      auto const token = at.first + (inside ? begin + row : 0);
      if (from.aligned) {
        auto const present = inside && column < from.head_dim;
        copy_async(&values[row][column], &from.x(token, from.first_column + (present ? column : 0)),
                   present);
      } else {
        for (auto c = column; c < column + 8; ++c) {
          values[row][c] = inside ? from.bits(token, c) : std::uint16_t{0};
        }
      }
    }
  }

  /// Operands (16, 8) of which `rows` of the tile are columns: rows row ... + 7, then + 8 ... + 15,
  /// of tile columns column ... + 15.
  __device__ void as_columns(FragmentB (&out)[2], int row, int column) const {
    auto const lane = static_cast<int>(threadIdx.x) % warp_size;
    read<Orientation::as_stored>(out, row + lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8);
  }
  /// Operands (16, 8) of which rows row ... + 15 of the tile are rows: tile columns column ... + 7,
  /// then + 8 ... + 15.
  __device__ void as_rows(FragmentB (&out)[2], int row, int column) const {
    auto const lane = static_cast<int>(threadIdx.x) % warp_size;
    read<Orientation::transposed>(out, row + lane % 16, column + lane / 16 * 8);
  }

 private:
  template <Orientation O>
  __device__ void read(FragmentB (&out)[2], int row, int column) const {
    Pair16 pairs[4];
    load_matrices<O>(pairs, &values[row][column]);
    out[0] = {{pairs[0], pairs[1]}};
    out[1] = {{pairs[2], pairs[3]}};
  }
};

/// Where a lane of a block stands: in its tile, and in its head.
struct LanePlace {
  SequenceTile at;
  Index head;
  int row;   ///< the first of its two rows in the sequence, the other being 8 below
  int part;  ///< its columns are 2 part and 2 part + 1 of every 8

  __device__ explicit LanePlace(AttentionShape const& shape)
      : at{tile_of(shape, block_rows, blockIdx.x)}, head{blockIdx.y} {
    auto const thread = static_cast<int>(threadIdx.x);
    row = at.begin + thread / warp_size * warp_rows + thread % warp_size / row_threads;
    part = thread % row_threads;
  }
  /// Whether the block has nothing to do.
  __device__ bool idle() const { return at.begin >= at.length; }
};

/// The 16 rows of a warp, as operands.
template <int D>
struct OwnRows {
  FragmentA steps[D / 16];

  __device__ void load(HeadMatrix const& from, LanePlace const& place) {
    QLORA_UNROLL
    for (auto step = 0; step < D / 16; ++step) {
      QLORA_UNROLL
      for (auto i = 0; i < 4; ++i) {
        auto const own = place.row + i % 2 * 8;
        auto const column = 16 * step + i / 2 * 8 + 2 * place.part;
        steps[step].pairs[i] = own < place.at.length ? from.pair(place.at.first + own, column) : 0;
      }
    }
  }
};

/// left and right (16, 8) = own rows by rows `row` ... + 15 of a tile.
template <int D>
__device__ void score(FragmentC& left, FragmentC& right, OwnRows<D> const& own,
                      NarrowTile<D> const& tile, int row) {
  left = right = {};
  QLORA_UNROLL
  for (auto step = 0; step < D / 16; ++step) {
    FragmentB other[2];
    tile.as_columns(other, row, 16 * step);
    multiply_add(left, own.steps[step], other[0]);
    multiply_add(right, own.steps[step], other[1]);
  }
}

/// sums (16, D) += weights (16, 16) by rows `row` ... + 15 of a tile.
template <int D>
__device__ void add_rows(FragmentC (&sums)[D / 8], FragmentA const& weights,
                         NarrowTile<D> const& tile, int row) {
  QLORA_UNROLL
  for (auto i = 0; i < D / 8; i += 2) {
    FragmentB other[2];
    tile.as_rows(other, row, 8 * i);
    multiply_add(sums[i], weights, other[0]);
    multiply_add(sums[i + 1], weights, other[1]);
  }
}

/// Writes sums (16, D), multiplied by a factor for each of a lane's two rows.
template <int D>
__device__ void store(FragmentC const (&sums)[D / 8], float const (&factors)[2],
                      Strided<bf16> const& out, AttentionShape const& shape,
                      LanePlace const& place) {
  QLORA_UNROLL
  for (auto half = 0; half < 2; ++half) {
    auto const own = place.row + half * 8;
    if (own >= place.at.length) continue;
    QLORA_UNROLL
    for (auto i = 0; i < D / 8; ++i) {
      auto const column = 8 * i + 2 * place.part;
      if (column >= shape.head_dim) continue;  // an even number
      auto* const to = &out(place.at.first + own, place.head * shape.head_dim + column);
      to[0] = bf16{factors[half] * sums[i].values[2 * half]};
      to[1] = bf16{factors[half] * sums[i].values[2 * half + 1]};
    }
  }
}

/// Two matrices of the other side: keys and values, or queries and gradients.
template <int D>
struct TilePairs {
  NarrowTile<D> first[2], second[2];
};

/// Calls `body(begin, first, second)` for the tiles of a sequence, in order.
template <int D, class Body>
__device__ void for_each_tile(TilePairs<D>& shared, HeadMatrix const& first,
                              HeadMatrix const& second, SequenceTile const& at, Body&& body) {
  constexpr auto rows = NarrowTile<D>::rows;
  auto const load = [&](int stage, int begin) {
    shared.first[stage].load(first, at, begin);
    shared.second[stage].load(second, at, begin);
  };
  load(0, 0);
  auto stage = 0;
  for (auto begin = 0; begin < at.length; begin += rows, stage = 1 - stage) {
    wait_for_copies();
    __syncthreads();  // everybody's, and the other stage is no longer read
    if (begin + rows < at.length) load(1 - stage, begin + rows);
    body(begin, shared.first[stage], shared.second[stage]);
  }
}

/// A block for each tile of queries.
template <int D>
__global__ void tensor_attention_kernel(AttentionForward<bf16> in) {
  constexpr auto infinity = std::numeric_limits<float>::infinity();
  constexpr auto columns = NarrowTile<D>::rows / 8;
  auto& shared = shared_storage<TilePairs<D>>();
  auto const place = LanePlace{in.shape};
  if (place.idle()) return;
  auto const& at = place.at;
  auto const head = place.head;
  OwnRows<D> queries;
  queries.load({in.q, in.shape, head}, place);

  float largest[2] = {-infinity, -infinity};  // of the scores, times log2(e)
  float total[2] = {};
  FragmentC sums[D / 8] = {};
  auto const add_tile = [&](int begin, NarrowTile<D> const& keys, NarrowTile<D> const& values) {
    FragmentC scores[columns];
    QLORA_UNROLL
    for (auto i = 0; i < columns; i += 2) {
      score(scores[i], scores[i + 1], queries, keys, 8 * i);
    }
    if (begin + NarrowTile<D>::rows > at.length) {
      QLORA_UNROLL
      for (auto i = 0; i < columns; ++i) {
        QLORA_UNROLL
        for (auto e = 0; e < 4; ++e) {
          if (begin + 8 * i + 2 * place.part + e % 2 >= at.length) scores[i].values[e] = -infinity;
        }
      }
    }
    QLORA_UNROLL
    for (auto half = 0; half < 2; ++half) {
      auto next = -infinity;
      QLORA_UNROLL
      for (auto i = 0; i < columns; ++i) {
        next = fmaxf(next, fmaxf(scores[i].values[2 * half], scores[i].values[2 * half + 1]));
      }
      next = fmaxf(largest[half], log2_e * row_largest(next));
      auto const correction = exp2_fast(largest[half] - next);
      largest[half] = next;
      total[half] *= correction;
      QLORA_UNROLL
      for (auto& sum : sums) {
        sum.values[2 * half] *= correction;
        sum.values[2 * half + 1] *= correction;
      }
      QLORA_UNROLL
      for (auto& value : scores) {
        QLORA_UNROLL
        for (auto e = 2 * half; e < 2 * half + 2; ++e) {
          value.values[e] = exp2_fast(value.values[e] * log2_e - next);
          total[half] += value.values[e];
        }
      }
    }
    QLORA_UNROLL
    for (auto i = 0; i < columns; i += 2) {
      add_rows(sums, operand_of(scores[i], scores[i + 1]), values, 8 * i);
    }
  };
  for_each_tile(shared, {in.k, in.shape, head}, {in.v, in.shape, head}, at, add_tile);

  for (auto& sum : total) sum = lanes_sum<row_threads>(sum);
  float const factors[2] = {1.f / total[0], 1.f / total[1]};
  store<D>(sums, factors, in.out, in.shape, place);
  if (place.part != 0) return;
  for (auto half = 0; half < 2; ++half) {
    auto const own = place.row + half * 8;
    if (own < at.length) {
      in.lse(head, at.first + own) = largest[half] / log2_e + std::log(total[half]);
    }
  }
}

/// dq = ds k, where ds = p (dout v^T - delta): a block for each tile of queries.
template <int D>
__global__ void tensor_queries_backward_kernel(AttentionBackward<bf16> in) {
  auto& shared = shared_storage<TilePairs<D>>();
  auto const place = LanePlace{in.shape};
  if (place.idle()) return;
  auto const& at = place.at;
  auto const head = place.head;
  OwnRows<D> queries, gradients;
  queries.load({in.q, in.shape, head}, place);
  gradients.load({in.dout, in.shape, head}, place);
  float lse[2], delta[2];
  for (auto half = 0; half < 2; ++half) {
    auto const inside = place.row + half * 8 < at.length;
    auto const token = at.first + (inside ? place.row + half * 8 : 0);
    lse[half] = inside ? log2_e * in.lse(head, token) : 0.f;
    delta[half] = inside ? in.delta(head, token) : 0.f;
  }

  FragmentC sums[D / 8] = {};
  auto const add_tile = [&](int begin, NarrowTile<D> const& keys, NarrowTile<D> const& values) {
    for (auto i = 0; i < NarrowTile<D>::rows; i += 16) {
      FragmentC scores[2], slopes[2];
      score(scores[0], scores[1], queries, keys, i);
      score(slopes[0], slopes[1], gradients, values, i);
      QLORA_UNROLL
      for (auto e = 0; e < 8; ++e) {
        auto const half = e % 4 / 2;
        auto& slope = slopes[e / 4].values[e % 4];
        auto const p = exp2_fast(scores[e / 4].values[e % 4] * log2_e - lse[half]);
        auto const inside = begin + i + e / 4 * 8 + 2 * place.part + e % 2 < at.length;
        slope = inside ? p * (slope - delta[half]) : 0.f;
      }
      add_rows(sums, operand_of(slopes[0], slopes[1]), keys, i);
    }
  };
  for_each_tile(shared, {in.k, in.shape, head}, {in.v, in.shape, head}, at, add_tile);
  float const factors[2] = {1.f, 1.f};
  store<D>(sums, factors, in.dq, in.shape, place);
}

/// dk = ds^T q and dv = p^T dout: a block for each tile of keys.
template <int D>
__global__ void tensor_keys_backward_kernel(AttentionBackward<bf16> in) {
  auto& shared = shared_storage<TilePairs<D>>();
  auto const place = LanePlace{in.shape};
  if (place.idle()) return;
  auto const& at = place.at;
  auto const head = place.head;
  OwnRows<D> keys, values;
  keys.load({in.k, in.shape, head}, place);
  values.load({in.v, in.shape, head}, place);

  FragmentC key_sums[D / 8] = {};
  FragmentC value_sums[D / 8] = {};
  auto const add_tile = [&](int begin, NarrowTile<D> const& queries,
                            NarrowTile<D> const& gradients) {
    for (auto i = 0; i < NarrowTile<D>::rows; i += 16) {
      FragmentC scores[2], slopes[2];
      score(scores[0], scores[1], keys, queries, i);
      score(slopes[0], slopes[1], values, gradients, i);
      QLORA_UNROLL
      for (auto e = 0; e < 8; ++e) {
        auto const query = begin + i + e / 4 * 8 + 2 * place.part + e % 2;
        auto const inside = query < at.length;
        auto const token = at.first + (inside ? query : 0);
        auto& p = scores[e / 4].values[e % 4];
        auto& slope = slopes[e / 4].values[e % 4];
        p = inside ? exp2_fast(log2_e * (p - in.lse(head, token))) : 0.f;
        slope = p * (slope - in.delta(head, token));
      }
      add_rows(key_sums, operand_of(slopes[0], slopes[1]), queries, i);
      add_rows(value_sums, operand_of(scores[0], scores[1]), gradients, i);
    }
  };
  for_each_tile(shared, {in.q, in.shape, head}, {in.dout, in.shape, head}, at, add_tile);
  float const factors[2] = {1.f, 1.f};
  store<D>(key_sums, factors, in.dk, in.shape, place);
  store<D>(value_sums, factors, in.dv, in.shape, place);
}

/// Attention by these kernels, in bf16 with float sums. Templates, so that a source has the kernels
/// only where it uses them.
struct TensorAttention {
  template <std::same_as<bf16> T>
  static void forward(AttentionForward<T> const& problem, Stream const& stream) {
    with_head_dim(problem.shape.head_dim, [&]<int D>(std::integral_constant<int, D>) {
      launch_tiles(tensor_attention_kernel<D>, problem, block_rows, threads, stream);
    });
  }
  template <std::same_as<bf16> T>
  static void backward(AttentionBackward<T> const& problem, Stream const& stream) {
    with_head_dim(problem.shape.head_dim, [&]<int D>(std::integral_constant<int, D>) {
      launch_tiles(tensor_queries_backward_kernel<D>, problem, block_rows, threads, stream);
      launch_tiles(tensor_keys_backward_kernel<D>, problem, block_rows, threads, stream);
    });
  }

 private:
  static constexpr int threads = warp_size * warps_per_block;
};

}  // namespace qlora::inline v1::cuda
