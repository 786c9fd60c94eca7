/// How the CPU backend cuts its work. Pieces are fixed, and partial sums are added in order, so
/// results do not depend on the number of threads.
#pragma once

#include <algorithm>

#include <qlora/core/packing.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::backend {

inline constexpr Index row_tile = 256;          ///< tokens of one product
inline constexpr Index reduction_chunk = 1024;  ///< tokens of one partial sum

/// Calls `body(row)` for every row.
template <class Body>
void for_each_row(Index rows, Body&& body) {
  parallel_rows(rows, row_tile, [&](Rows tile, int) {
    for (auto i = tile.first; i < tile.first + tile.count; ++i) body(i);
  });
}

/// Loops whose pieces need memory of their own, which grows to the largest request and stays.
template <class A>
class Pieces {
 public:
  /// sum (p, q) += body's partial sums over chunks of rows, added in order. Every chunk starts at
  /// zero.
  template <class Body>
  void reduce_rows(Index rows, Matrix<A> sum, Body&& body) {
    auto const chunks = (rows + reduction_chunk - 1) / reduction_chunk;
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

  /// Calls `body(rows, columns, head, scratch)` for every sequence and head, with `scratch_size`
  /// numbers to work with.
  template <class Body>
  void for_each_head(Index features, Index heads, Packing<Space::host> const& packing,
                     Index scratch_size, Body&& body) {
    auto const head_dim = features / heads;
    auto* const memory = scratch(scratch_size * thread_count());
    parallel_for(packing.sequences() * heads, [&](Index piece, int worker) {
      auto const sequence = piece / heads;
      auto const head = piece % heads;
      auto const first = Index{packing.offsets[sequence]};
      body(Rows{first, Index{packing.offsets[sequence + 1]} - first},
           Rows{head * head_dim, head_dim}, head, memory + worker * scratch_size);
    });
  }

 private:
  A* scratch(Index count) {
    if (scratch_.extents()[0] < count) scratch_ = VectorTensor<A>{{count}};
    return scratch_.data();
  }

  VectorTensor<A> scratch_;
};

}  // namespace qlora::inline v1::backend
