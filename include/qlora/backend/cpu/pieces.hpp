/// How the CPU backend cuts its work. What is summed is cut at fixed places, and partial sums are
/// added in order, so results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include <qlora/backend/cpu/simd/kernels.hpp>
#include <qlora/backend/cpu/tile.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::backend {

inline constexpr Index reduction_chunk = 1024;                ///< tokens of one partial sum
inline constexpr Index parameters_of_piece = Index{1} << 16;  ///< that are updated together
inline constexpr Index cache_line_bytes = 64;

/// Tokens of a tile, such that each thread has as many, as far as multiples of `unit` allow: a
/// row's bits do not depend on its tile.
inline Index tile_rows(Index rows, Index unit) {
  auto const tiles = round_up(ceil_div(rows, tile::most_rows), thread_count());
  return std::min(tile::most_rows, round_up(ceil_div(rows, tiles), unit));
}

/// Calls `body(rows)` for tiles, as of tile_rows, of rows whose results do not depend on each
/// other.
template <class Body>
void for_each_tile(Index rows, Index unit, Body&& body) {
  if (rows == 0) return;
  parallel_rows(rows, tile_rows(rows, unit), [&](Rows tile, int) { body(tile); });
}

/// Calls `body(row)` for every row.
template <class Body>
void for_each_row(Index rows, Body&& body) {
  for_each_tile(rows, simd::row_multiple, [&](Rows tile) {
    for (auto i = tile.first; i < tile.first + tile.count; ++i) body(i);
  });
}

/// How many heads fill whole cache lines, but not more than four, of which few share any.
constexpr Index heads_of_lines(Index head_bytes) {
  return std::min(std::lcm(cache_line_bytes, head_bytes) / head_bytes, Index{4});
}

/// Loops whose pieces need memory of their own, which grows to the largest request and stays.
template <class A>
class Pieces {
 public:
  /// sum (p, q) += body's partial sums over chunks of rows, added in order. Every chunk starts at
  /// zero.
  template <class Body>
  void reduce_rows(Index rows, Matrix<A> sum, Body&& body) {
    auto const chunks = ceil_div(rows, reduction_chunk);
    auto const size = sum.rows() * sum.columns();
    auto* const partial = scratch(chunks * size);
    parallel_rows(rows, reduction_chunk, [&](Rows chunk, int) {
      auto* const data = partial + chunk.first / reduction_chunk * size;
      std::fill_n(data, size, A{0});
      body(chunk, Matrix<A>{data, {sum.rows(), sum.columns()}});
    });
    for (auto chunk = Index{0}; chunk < chunks; ++chunk) {
      auto const* const data = partial + chunk * size;
      for (auto i = Index{0}; i < sum.rows(); ++i) {
        for (auto j = Index{0}; j < sum.columns(); ++j) sum(i, j) += data[i * sum.columns() + j];
      }
    }
  }

  /// Calls `body(rows, columns, head, scratch)` for every sequence and head, the longest first,
  /// with `scratch_size` numbers to work with. Heads of T that share cache lines are one thread's,
  /// since threads that write to one line at a time wait for each other, unless some threads would
  /// have nothing to do.
  template <class T, class Body>
  void for_each_head(Index features, Index heads, Packing<Space::host> const& packing,
                     Index scratch_size, Body&& body) {
    auto const head_dim = features / heads;
    auto together = std::min(heads, heads_of_lines(head_dim * Index{sizeof(T)}));
    if (packing.sequences() * heads < 8 * together * thread_count()) together = 1;
    auto const groups = ceil_div(heads, together);
    auto* const memory = scratch(scratch_size * thread_count());
    longest_first(packing);
    parallel_for(packing.sequences() * groups, [&](Index piece, int worker) {
      auto const sequence = order_[static_cast<std::size_t>(piece / groups)];
      auto const first = Index{packing.offsets[sequence]};
      auto const rows = Rows{first, Index{packing.offsets[sequence + 1]} - first};
      auto const begin = piece % groups * together;
      for (auto head = begin; head < std::min(begin + together, heads); ++head) {
        body(rows, Rows{head * head_dim, head_dim}, head, memory + worker * scratch_size);
      }
    });
  }

 private:
  A* scratch(Index count) {
    if (scratch_.extents()[0] < count) scratch_ = VectorTensor<A>{{count}};
    return scratch_.data();
  }

  /// Fills order_: threads that take what is longest first end together.
  void longest_first(Packing<Space::host> const& packing) {
    auto const length = [&](Index i) { return packing.offsets[i + 1] - packing.offsets[i]; };
    order_.resize(static_cast<std::size_t>(packing.sequences()));
    std::iota(order_.begin(), order_.end(), Index{0});
    std::ranges::sort(order_, std::greater{}, length);
  }

  VectorTensor<A> scratch_;
  std::vector<Index> order_;  ///< of sequences
};

}  // namespace qlora::inline v1::backend
