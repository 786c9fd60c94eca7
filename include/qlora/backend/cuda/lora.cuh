/// The skinny products of low-rank adapters (Hu et al., arXiv:2106.09685). Masks of dropout are
/// drawn where they are needed, eight columns at a time, and never stored.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/pack.cuh>
#include <qlora/backend/cuda/reduce.cuh>
#include <qlora/backend/dropout.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// Dropout of the inputs of neighbouring targets.
struct Masks {
  Dropout dropout{};
  std::uint32_t first_site = 0;
  std::uint32_t octets = 0;  ///< in a row
  std::int32_t const* positions = nullptr;
  std::uint32_t const* samples = nullptr;

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
    QLORA_UNROLL
    for (auto i = 0; i < octet_size; ++i) {
      out[i] = dropout_bits(block, i) >= threshold ? scale : A{0};
    }
  }
};

inline Masks masks_of(LoraInput const& input, Packing<Space::device> const& packing,
                      Index columns) {
  return {.dropout = input.dropout,
          .first_site = input.first_site,
          .octets = static_cast<std::uint32_t>(ceil_div(columns, octet_size)),
          .positions = packing.positions.data(),
          .samples = packing.samples.data()};
}

/// A matrix that is read and written by octets of a row: in packs where it can be, else number by
/// number, and 0 right of its end.
template <class T>
struct Octets {
  Strided<T> x;
  Index columns;
  Index packed;  ///< as wide as its neighbours: recordings compare every byte of an argument

  Octets(Strided<T> const& x, Index rows, Index columns)
      : x{x}, columns{columns}, packed{in_packs(x, rows, columns)} {}

  template <class A>
  __device__ void load(Index row, Index octet, A (&out)[octet_size]) const {
    if (!is_for_checks<T> && packed) {
      auto const pack = load_pack(x, row, octet);
      QLORA_UNROLL
      for (auto i = 0; i < octet_size; ++i) out[i] = convert<A>(pack.values[i]);
    } else {
      QLORA_UNROLL
      for (auto i = 0; i < octet_size; ++i) {
        auto const column = octet * octet_size + i;
        out[i] = column < columns ? convert<A>(x(row, column)) : A{0};
      }
    }
  }
  template <class A>
  __device__ void store(Index row, Index octet, A const (&values)[octet_size]) const {
    if (!is_for_checks<T> && packed) {
      Pack<T> pack;
      QLORA_UNROLL
      for (auto i = 0; i < octet_size; ++i) pack.values[i] = convert<T>(values[i]);
      store_pack(pack, x, row, octet);
    } else {
      QLORA_UNROLL
      for (auto i = 0; i < octet_size; ++i) {
        auto const column = octet * octet_size + i;
        if (column < columns) x(row, column) = convert<T>(values[i]);
      }
    }
  }
};

/// Calls `body` with how many ranks a thread is to sum at a time, as a type: they share the masks
/// that it draws and the octets that it reads, and cost registers.
template <class A, class Body>
void with_ranks(Index rank, Body&& body) {
  if constexpr (!is_for_checks<A>) {
    if (rank <= 2) return body(std::integral_constant<int, 2>{});
  }
  body(std::integral_constant<int, 8>{});
}

/// h (n, targets r) = scale dropout(x) (n, columns) a (targets r, columns)^T, a warp for each few
/// rows.
template <class U, class A, int Ranks>
struct LoraProject {
  static constexpr int rows_at_once = Ranks <= 2 ? 4 : 2;

  Octets<U const> x;
  Octets<A const> a;
  A scale;
  Masks masks;
  Strided<A> h;
  Index rows, targets, rank;

  __device__ void operator()(Index work, int lane) const {
    for (auto target = Index{0}; target < targets; ++target) {
      for (auto r = Index{0}; r < rank; r += Ranks) {
        project(work * rows_at_once, lane, target, r);
      }
    }
  }
  __device__ void project(Index first, int lane, Index target, Index rank_begin) const {
    A sums[rows_at_once][Ranks] = {};
    auto const base = target * rank + rank_begin;
    auto const count = rank - rank_begin;
    for (auto octet = Index{lane}; octet * octet_size < x.columns; octet += warp_size) {
      A weights[Ranks][octet_size];
      QLORA_UNROLL
      for (auto r = 0; r < Ranks; ++r) {
        if (r < count) a.load(base + r, octet, weights[r]);
      }
      QLORA_UNROLL
      for (auto k = 0; k < rows_at_once; ++k) {
        if (first + k >= rows) break;
        A values[octet_size], factors[octet_size];
        x.load(first + k, octet, values);
        masks.factors(first + k, target, octet, factors);
        QLORA_UNROLL
        for (auto i = 0; i < octet_size; ++i) {
          auto const value = factors[i] * values[i];
          QLORA_UNROLL
          for (auto r = 0; r < Ranks; ++r) {
            if (r < count) sums[k][r] += value * weights[r][i];
          }
        }
      }
    }
    QLORA_UNROLL
    for (auto k = 0; k < rows_at_once; ++k) {
      QLORA_UNROLL
      for (auto r = 0; r < Ranks; ++r) {
        if (first + k >= rows || r >= count) break;  // the whole warp does
        auto const sum = lanes_sum(sums[k][r]);
        if (lane == 0) h(first + k, base + r) = scale * sum;
      }
    }
  }
};

/// partials (chunks, targets r, columns) = scale dh^T dropout(x) over each chunk's tokens. A thread
/// sums a few ranks of the columns of an octet; its row counts chunks, targets and groups of ranks.
template <class U, class A, int Ranks>
struct LoraOuter {
  static constexpr int rows_at_once = 4;  // so that their reads do not wait for each other

  Strided<A const> dh;  ///< (n, targets r)
  Octets<U const> x;    ///< (n, columns)
  A scale;
  Masks masks;
  Octets<A> partials;
  Index rows, chunk, targets, rank;

  QLORA_HOST_DEVICE Index groups() const { return ceil_div(rank, Ranks); }

  __device__ void operator()(Index work, Index octet) const {
    auto const per_target = groups();
    auto const group = work % per_target;
    auto const target = work / per_target % targets;
    auto const number = work / per_target / targets;
    auto const base = target * rank + group * Ranks;
    auto const count = rank - group * Ranks;
    auto const first = number * chunk;
    auto const end = first + chunk < rows ? first + chunk : rows;
    A sums[Ranks][octet_size] = {};
    for (auto row = first; row < end; row += rows_at_once) {
      A values[rows_at_once][octet_size] = {};
      A slopes[rows_at_once][Ranks] = {};
      QLORA_UNROLL
      for (auto k = 0; k < rows_at_once; ++k) {
        if (row + k >= end) break;
        x.load(row + k, octet, values[k]);
        QLORA_UNROLL
        for (auto r = 0; r < Ranks; ++r) {
          if (r < count) slopes[k][r] = dh(row + k, base + r);
        }
      }
      QLORA_UNROLL
      for (auto k = 0; k < rows_at_once; ++k) {
        if (row + k >= end) break;
        A factors[octet_size];
        masks.factors(row + k, target, octet, factors);
        QLORA_UNROLL
        for (auto i = 0; i < octet_size; ++i) {
          auto const value = factors[i] * values[k][i];
          QLORA_UNROLL
          for (auto r = 0; r < Ranks; ++r) sums[r][i] += slopes[k][r] * value;
        }
      }
    }
    // Unrolled, or the sums would have to lie in memory.
    QLORA_UNROLL
    for (auto r = 0; r < Ranks; ++r) {
      if (r >= count) break;
      QLORA_UNROLL
      for (auto i = 0; i < octet_size; ++i) sums[r][i] *= scale;
      partials.store(number * targets * rank + base + r, octet, sums[r]);
    }
  }
};

/// y (n, columns) += scale dropout'(h (n, targets r) a (targets r, columns)), a thread for each
/// octet of a few rows.
template <class V, class A>
struct LoraAdd {
  static constexpr int rows_at_once = 4;

  Strided<A const> h;
  Octets<A const> a;
  A scale;
  Masks masks;
  Octets<V> y;
  Index rows, targets, rank;

  __device__ void operator()(Index work, Index octet) const {
    auto const first = work * rows_at_once;
    A sums[rows_at_once][octet_size] = {};
    for (auto target = Index{0}; target < targets; ++target) {
      A products[rows_at_once][octet_size] = {};
      for (auto r = target * rank; r < (target + 1) * rank; ++r) {
        A weights[octet_size];
        a.load(r, octet, weights);
        QLORA_UNROLL
        for (auto k = 0; k < rows_at_once; ++k) {
          if (first + k >= rows) break;
          auto const factor = h(first + k, r);
          QLORA_UNROLL
          for (auto i = 0; i < octet_size; ++i) products[k][i] += factor * weights[i];
        }
      }
      QLORA_UNROLL
      for (auto k = 0; k < rows_at_once; ++k) {
        if (first + k >= rows) break;
        A factors[octet_size];
        masks.factors(first + k, target, octet, factors);
        QLORA_UNROLL
        for (auto i = 0; i < octet_size; ++i) sums[k][i] += factors[i] * products[k][i];
      }
    }
    QLORA_UNROLL
    for (auto k = 0; k < rows_at_once; ++k) {
      if (first + k >= rows) break;
      A values[octet_size];
      y.load(first + k, octet, values);
      QLORA_UNROLL
      for (auto i = 0; i < octet_size; ++i) values[i] += scale * sums[k][i];
      y.store(first + k, octet, values);
    }
  }
};

}  // namespace qlora::inline v1::cuda
