/// What attention on tensor cores is made of: rows that a warp owns, as operands in registers,
/// tiles of the other side in shared memory, and products of the two.
#pragma once

#include <cstdint>

#include <qlora/backend/cuda/attention_problem.cuh>
#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/tensor_core.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

inline constexpr int group_rows = 16;
inline constexpr int attention_threads = warp_size * warps_per_block;

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
    if (aligned && column < head_dim) {
      return *reinterpret_cast<Pair16 const*>(&x(row, first_column + column));
    }
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
    constexpr auto step = attention_threads / octets;  // rows between those of a thread
    auto const thread = static_cast<int>(threadIdx.x);
    auto const first = thread / octets;
    auto const column = thread % octets * 8;
    auto const left = at.length - begin - first;  // rows that are there, from the thread's first on
    auto const within = column < from.head_dim;
    // What is outside is not looked at, but pointed into the matrix.
    auto const* const source = &from.x(at.first + (left > 0 ? begin + first : 0),
                                       from.first_column + (within ? column : 0));
    QLORA_UNROLL
    for (auto row = 0; row < rows; row += step) {
      auto const inside = row < left;
      if (from.aligned) {
        copy_async<16>(&values[first + row][column], source + (inside ? row * from.x.stride : 0),
                       inside && within);
      } else {
        for (auto c = column; c < column + 8; ++c) {
          values[first + row][c] =
              inside ? from.bits(at.first + begin + first + row, c) : std::uint16_t{0};
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

/// Where a lane of a block stands whose warps own `Groups` times 16 rows: in its tile, and in its
/// head.
template <int Groups>
struct LanePlace {
  static constexpr int block_rows = group_rows * Groups * warps_per_block;
  SequenceTile at;
  Index head;
  int first;  ///< its first row in the sequence
  int part;   ///< its columns are 2 part and 2 part + 1 of every 8

  __device__ explicit LanePlace(AttentionShape const& shape)
      : at{tile_of(shape, block_rows, blockIdx.x)}, head{blockIdx.y} {
    auto const thread = static_cast<int>(threadIdx.x);
    first =
        at.begin + thread / warp_size * (group_rows * Groups) + thread % warp_size / row_threads;
    part = thread % row_threads;
  }
  /// Whether the block has nothing to do.
  __device__ bool idle() const { return at.begin >= at.length; }
  /// A lane has two rows of each group, 8 apart.
  __device__ int row(int group, int half) const { return first + group * group_rows + half * 8; }
};

/// 16 rows of a warp, as operands.
template <int D>
struct OwnRows {
  FragmentA steps[D / 16];

  template <int Groups>
  __device__ void load(HeadMatrix const& from, LanePlace<Groups> const& place, int group) {
    QLORA_UNROLL
    for (auto step = 0; step < D / 16; ++step) {
      QLORA_UNROLL
      for (auto i = 0; i < 4; ++i) {
        auto const own = place.row(group, i % 2);
        auto const column = 16 * step + i / 2 * 8 + 2 * place.part;
        steps[step].pairs[i] = own < place.at.length ? from.pair(place.at.first + own, column) : 0;
      }
    }
  }
};
template <int D, int Groups>
__device__ void load_rows(OwnRows<D> (&own)[Groups], HeadMatrix const& from,
                          LanePlace<Groups> const& place) {
  QLORA_UNROLL
  for (auto group = 0; group < Groups; ++group) own[group].load(from, place, group);
}

/// scores (16 Groups, 16) = own rows by rows `row` ... + 15 of a tile.
template <int D, int Groups>
__device__ void score(FragmentC (&scores)[Groups][2], OwnRows<D> const (&own)[Groups],
                      NarrowTile<D> const& tile, int row) {
  QLORA_UNROLL
  for (auto& group : scores) group[0] = group[1] = {};
  QLORA_UNROLL
  for (auto step = 0; step < D / 16; ++step) {
    FragmentB other[2];
    tile.as_columns(other, row, 16 * step);
    QLORA_UNROLL
    for (auto group = 0; group < Groups; ++group) {
      multiply_add(scores[group][0], own[group].steps[step], other[0]);
      multiply_add(scores[group][1], own[group].steps[step], other[1]);
    }
  }
}

/// sums (16 Groups, D) += weights (16 Groups, 16) by rows `row` ... + 15 of a tile.
template <int D, int Groups>
__device__ void add_rows(FragmentC (&sums)[Groups][D / 8], FragmentA const (&weights)[Groups],
                         NarrowTile<D> const& tile, int row) {
  QLORA_UNROLL
  for (auto i = 0; i < D / 8; i += 2) {
    FragmentB other[2];
    tile.as_rows(other, row, 8 * i);
    QLORA_UNROLL
    for (auto group = 0; group < Groups; ++group) {
      multiply_add(sums[group][i], weights[group], other[0]);
      multiply_add(sums[group][i + 1], weights[group], other[1]);
    }
  }
}
template <int Groups>
__device__ void as_operands(FragmentA (&weights)[Groups], FragmentC const (&scores)[Groups][2]) {
  QLORA_UNROLL
  for (auto group = 0; group < Groups; ++group) {
    weights[group] = operand_of(scores[group][0], scores[group][1]);
  }
}

/// Writes sums (16 Groups, D), multiplied by a factor for each of a lane's rows.
template <int D, int Groups>
__device__ void store(FragmentC const (&sums)[Groups][D / 8], float const (&factors)[Groups][2],
                      Strided<bf16> const& out, AttentionShape const& shape,
                      LanePlace<Groups> const& place) {
  QLORA_UNROLL
  for (auto r = 0; r < 2 * Groups; ++r) {
    auto const group = r / 2;
    auto const half = r % 2;
    auto const own = place.row(group, half);
    if (own >= place.at.length) continue;
    QLORA_UNROLL
    for (auto i = 0; i < D / 8; ++i) {
      auto const column = 8 * i + 2 * place.part;
      if (column >= shape.head_dim) continue;  // an even number
      auto* const to = &out(place.at.first + own, place.head * shape.head_dim + column);
      auto const factor = factors[group][half];
      auto const pair = pair_of(factor * sums[group][i].values[2 * half],
                                factor * sums[group][i].values[2 * half + 1]);
      if (reinterpret_cast<std::uintptr_t>(to) % sizeof pair == 0) {
        *reinterpret_cast<Pair16*>(to) = pair;
      } else {
        to[0].bits = static_cast<std::uint16_t>(pair & 0xffffu);
        to[1].bits = static_cast<std::uint16_t>(pair >> 16);
      }
    }
  }
}
template <int D, int Groups>
__device__ void store(FragmentC const (&sums)[Groups][D / 8], Strided<bf16> const& out,
                      AttentionShape const& shape, LanePlace<Groups> const& place) {
  float ones[Groups][2];
  for (auto& pair : ones) pair[0] = pair[1] = 1.f;
  store<D>(sums, ones, out, shape, place);
}

/// Two matrices of the other side: keys and values, or queries and gradients.
template <int D>
struct TilePairs {
  NarrowTile<D> first[2], second[2];
};

/// Calls `body(begin, first, second)` for the tiles of a sequence, in order; `more(stage, begin)`
/// may begin to load what goes with them.
template <int D, class Body, class More>
__device__ void for_each_tile(TilePairs<D>& shared, HeadMatrix const& first,
                              HeadMatrix const& second, SequenceTile const& at, Body&& body,
                              More&& more) {
  constexpr auto rows = NarrowTile<D>::rows;
  auto const load = [&](int stage, int begin) {
    shared.first[stage].load(first, at, begin);
    shared.second[stage].load(second, at, begin);
    more(stage, begin);
  };
  load(0, 0);
  auto stage = 0;
  for (auto begin = 0; begin < at.length; begin += rows, stage = 1 - stage) {
    wait_for_copies();
    __syncthreads();  // everybody's, and the other stage is no longer read
    if (begin + rows < at.length) load(1 - stage, begin + rows);
    __syncwarp();  // whose lanes loading may have parted
    body(begin, shared.first[stage], shared.second[stage]);
  }
}

template <int D, class Body>
__device__ void for_each_tile(TilePairs<D>& shared, HeadMatrix const& first,
                              HeadMatrix const& second, SequenceTile const& at, Body&& body) {
  for_each_tile(shared, first, second, at, body, [](int, int) {});
}

}  // namespace qlora::inline v1::cuda
