/// The skinny products of low-rank adapters (Hu et al., arXiv:2106.09685). Masks of dropout are
/// drawn where they are needed, eight columns at a time, and never stored.
#pragma once

#include <algorithm>
#include <cstdint>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/reduce.cuh>
#include <qlora/backend/dropout.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

inline constexpr int octet_size = 8;

/// Dropout of the inputs of neighbouring targets.
struct Masks {
  Dropout dropout{};
  std::uint32_t first_site = 0;
  std::int32_t const* positions = nullptr;
  std::uint32_t const* samples = nullptr;
  std::uint32_t octets = 0;  ///< in a row

  /// What dropout multiplies the columns of an octet by.
  template <class A>
  __device__ void factors(Index row, Index target, Index octet, A (&out)[octet_size]) const {
    if (!dropout.active()) {
      for (auto& factor : out) factor = A{1};
      return;
    }
    auto const block = dropout_block(dropout, first_site + static_cast<std::uint32_t>(target),
                                     samples[row], static_cast<std::uint32_t>(positions[row]),
                                     octets, static_cast<std::uint32_t>(octet));
    auto const threshold = dropout.threshold();
    auto const scale = static_cast<A>(dropout.scale());
    for (auto i = 0; i < octet_size; ++i) {
      out[i] = dropout_bits(block, i) >= threshold ? scale : A{0};
    }
  }
};

inline Masks masks_of(LoraInput const& input, Packing<Space::device> const& packing,
                      Index columns) {
  return {.dropout = input.dropout,
          .first_site = input.first_site,
          .positions = packing.positions.data(),
          .samples = packing.samples.data(),
          .octets = static_cast<std::uint32_t>((columns + octet_size - 1) / octet_size)};
}

/// Calls `body(i, column)` for the columns of an octet.
template <class Body>
__device__ void for_each_column(Index octet, Index columns, Body&& body) {
  QLORA_UNROLL
  for (auto i = 0; i < octet_size; ++i) {
    auto const column = octet * octet_size + i;
    if (column < columns) body(i, column);
  }
}

/// Ranks that one thread sums at a time: they share the masks that it draws.
inline constexpr int ranks_at_once = 8;

/// h (n, targets r) = scale dropout(x) (n, columns) a (targets r, columns)^T, a warp for each row.
template <class U, class A>
struct LoraProject {
  Strided<U const> x;
  Strided<A const> a;
  A scale;
  Masks masks;
  Strided<A> h;
  Index columns, targets, rank;

  __device__ void operator()(Index row, int lane) const {
    for (auto target = Index{0}; target < targets; ++target) {
      for (auto r = Index{0}; r < rank; r += ranks_at_once) {
        project(row, lane, target, r, rank - r < ranks_at_once ? rank - r : Index{ranks_at_once});
      }
    }
  }
  __device__ void project(Index row, int lane, Index target, Index first, Index count) const {
    A sums[ranks_at_once] = {};
    auto const base = target * rank + first;
    for (auto octet = Index{lane}; octet * octet_size < columns; octet += warp_size) {
      A factors[octet_size];
      masks.factors(row, target, octet, factors);
      for_each_column(octet, columns, [&](int i, Index column) {
        auto const value = factors[i] * convert<A>(x(row, column));
        QLORA_UNROLL
        for (auto r = 0; r < ranks_at_once; ++r) {
          if (r < count) sums[r] += value * a(base + r, column);
        }
      });
    }
    QLORA_UNROLL
    for (auto r = 0; r < ranks_at_once; ++r) {
      if (r >= count) break;  // the whole warp does
      auto const sum = lanes_sum(sums[r]);
      if (lane == 0) h(row, base + r) = scale * sum;
    }
  }
};

/// partials (chunks, targets r, columns) = scale dh^T dropout(x) over each chunk's tokens. A thread
/// sums a few ranks of the columns of an octet; its row counts chunks, targets and groups of ranks.
template <class U, class A>
struct LoraOuter {
  static constexpr int group_size = 4;

  Strided<A const> dh;  ///< (n, targets r)
  Strided<U const> x;   ///< (n, columns)
  A scale;
  Masks masks;
  A* partials;
  Index rows, columns, targets, rank;

  Index groups() const { return (rank + group_size - 1) / group_size; }

  __device__ void operator()(Index work, Index octet) const {
    auto const per_target = (rank + group_size - 1) / group_size;
    auto const group = work % per_target;
    auto const target = work / per_target % targets;
    auto const chunk = work / per_target / targets;
    auto const base = target * rank + group * group_size;
    auto const left = rank - group * group_size;
    A sums[group_size][octet_size] = {};
    auto const first = chunk * reduction_chunk;
    for (auto row = first; row < end_of_chunk(first, rows); ++row) {
      A factors[octet_size];
      masks.factors(row, target, octet, factors);
      for_each_column(octet, columns, [&](int i, Index column) {
        auto const value = factors[i] * convert<A>(x(row, column));
        QLORA_UNROLL
        for (auto r = 0; r < group_size; ++r) {
          if (r < left) sums[r][i] += dh(row, base + r) * value;
        }
      });
    }
    for (auto r = 0; r < group_size && r < left; ++r) {
      auto* const out = partials + ((chunk * targets * rank) + base + r) * columns;
      for_each_column(octet, columns,
                      [&](int i, Index column) { out[column] = scale * sums[r][i]; });
    }
  }
};

/// dx (n, columns) += dropout'(dh a), a thread for each octet of a row.
template <class V, class A>
struct LoraInputGradient {
  Strided<A const> dh;  ///< (n, targets r)
  Strided<A const> a;   ///< (targets r, columns)
  Masks masks;
  Strided<V> dx;
  Index columns, targets, rank;

  __device__ void operator()(Index row, Index octet) const {
    A sums[octet_size] = {};
    for (auto target = Index{0}; target < targets; ++target) {
      A factors[octet_size];
      masks.factors(row, target, octet, factors);
      for_each_column(octet, columns, [&](int i, Index column) {
        auto gradient = A{0};
        for (auto r = target * rank; r < (target + 1) * rank; ++r) {
          gradient += dh(row, r) * a(r, column);
        }
        sums[i] += factors[i] * gradient;
      });
    }
    for_each_column(octet, columns, [&](int i, Index column) {
      auto& out = dx(row, column);
      out = convert<V>(convert<A>(out) + sums[i]);
    });
  }
};

/// y (n, out) += scale h (n, r) b (out, r)^T.
template <class U, class A>
struct LoraExpand {
  Strided<A const> h, b;
  A scale;
  Strided<U> y;
  Index rank;

  __device__ void operator()(Index row, Index column) const {
    auto sum = A{0};
    for (auto r = Index{0}; r < rank; ++r) sum += h(row, r) * b(column, r);
    auto& out = y(row, column);
    out = convert<U>(convert<A>(out) + scale * sum);
  }
};

}  // namespace qlora::inline v1::cuda
