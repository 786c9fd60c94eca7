/// Layer normalisation (Ba, Kiros and Hinton, arXiv:1607.06450), a warp for each token, whose row
/// it keeps in registers where it fits.
#pragma once

#include <cmath>
#include <type_traits>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/pack.cuh>
#include <qlora/core/rounding.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// What a lane has of a row: every 32nd pack of `Width` elements from `lane` on, in registers;
/// reading them again costs nothing.
template <class A, int Width, int Kept>
struct KeptRow {
  Pack<A, Width> packs[Kept];

  __device__ KeptRow(Strided<A const> const& x, Index row, int lane, int size) {
    QLORA_UNROLL
    for (auto k = 0; k < Kept; ++k) {
      if (lane + k * warp_size < size / Width) {
        packs[k] = load_pack<Width>(x, row, lane + k * warp_size);
      }
    }
  }
  /// Calls `body(k, pack)` for each.
  template <class Body>
  __device__ static void for_each(int lane, int size, Body&& body) {
    QLORA_UNROLL
    for (auto k = 0; k < Kept; ++k) {
      if (lane + k * warp_size < size / Width) body(k, lane + k * warp_size);
    }
  }
  __device__ Pack<A, Width> const& operator()(int k, int) const { return packs[k]; }
};

/// The same for rows of any size, element by element from memory.
template <class A>
struct KeptRow<A, 1, 0> {
  Strided<A const> x;
  Index row;

  __device__ KeptRow(Strided<A const> const& x, Index row, int, int) : x{x}, row{row} {}
  template <class Body>
  __device__ static void for_each(int lane, int size, Body&& body) {
    for (auto j = lane; j < size; j += warp_size) body(0, j);
  }
  __device__ Pack<A, 1> operator()(int, int j) const { return load_pack<1>(x, row, j); }
};

/// y = (x - mean) rstd gamma + beta; stats (2) = mean, rstd.
template <class A, class U, int Width, int Kept>
struct LayerNorm {
  using Row = KeptRow<A, Width, Kept>;
  Strided<A const> x;
  A const* gamma;
  A const* beta;
  A epsilon;
  int size;
  Strided<U> y;
  Strided<A> stats;

  __device__ void operator()(Index row, int lane) const {
    auto const from = Row{x, row, lane, size};
    auto sum = A{0};
    Row::for_each(lane, size, [&](int k, int pack) {
      for (auto const value : from(k, pack).values) sum += value;
    });
    auto const mean = lanes_sum(sum) / static_cast<A>(size);
    auto squares = A{0};
    Row::for_each(lane, size, [&](int k, int pack) {
      for (auto const value : from(k, pack).values) squares += (value - mean) * (value - mean);
    });
    auto const variance = lanes_sum(squares) / static_cast<A>(size);
    auto const rstd = A{1} / std::sqrt(variance + epsilon);
    Row::for_each(lane, size, [&](int k, int pack) {
      auto const values = from(k, pack);
      auto const scale = load_pack<Width>(Strided<A const>{gamma}, 0, pack);
      auto const shift = load_pack<Width>(Strided<A const>{beta}, 0, pack);
      Pack<U, Width> out;
      QLORA_UNROLL
      for (auto i = 0; i < Width; ++i) {
        auto const n = (values.values[i] - mean) * rstd;
        out.values[i] = convert<U>(n * scale.values[i] + shift.values[i]);
      }
      store_pack(out, y, row, pack);
    });
    if (lane == 0) {
      stats(row, 0) = mean;
      stats(row, 1) = rstd;
    }
  }
};

/// dx += rstd (g - mean(g) - n mean(g n)) where n = (x - mean) rstd and g = dy gamma.
template <class A, int Width, int Kept>
struct LayerNormBackward {
  using Row = KeptRow<A, Width, Kept>;
  Strided<A const> dy, x;
  A const* gamma;
  Strided<A const> stats;
  Strided<A> dx;
  Index size;

  __device__ void operator()(Index row, int lane) const {
    auto const columns = static_cast<int>(size);
    auto const mean = stats(row, 0);
    auto const rstd = stats(row, 1);
    auto const from = Row{x, row, lane, columns};
    auto const gradient = Row{dy, row, lane, columns};
    auto const scale_of = [&](int pack) {
      return load_pack<Width>(Strided<A const>{gamma}, 0, pack);
    };
    auto sum = A{0};
    auto product = A{0};
    Row::for_each(lane, columns, [&](int k, int pack) {
      auto const values = from(k, pack);
      auto const gradients = gradient(k, pack);
      auto const scale = scale_of(pack);
      QLORA_UNROLL
      for (auto i = 0; i < Width; ++i) {
        auto const g = gradients.values[i] * scale.values[i];
        sum += g;
        product += g * (values.values[i] - mean) * rstd;
      }
    });
    auto const mean_g = lanes_sum(sum) / static_cast<A>(size);
    auto const mean_gn = lanes_sum(product) / static_cast<A>(size);
    Row::for_each(lane, columns, [&](int k, int pack) {
      auto const values = from(k, pack);
      auto const gradients = gradient(k, pack);
      auto const scale = scale_of(pack);
      auto out = load_pack<Width>(dx, row, pack);
      QLORA_UNROLL
      for (auto i = 0; i < Width; ++i) {
        auto const n = (values.values[i] - mean) * rstd;
        out.values[i] += rstd * (gradients.values[i] * scale.values[i] - mean_g - n * mean_gn);
      }
      store_pack(out, dx, row, pack);
    });
  }
};

/// Calls `body` with the width of packs and how many of them a lane is to keep, as types; one
/// element and none where the row is too long, or does not lie in packs.
template <class A, class Body>
void with_kept_row(Index size, bool packed, Body&& body) {
  using One = std::integral_constant<int, 1>;
  using Four = std::integral_constant<int, 4>;
  if constexpr (!is_for_checks<A>) {
    auto const lanes = ceil_div(size / Four::value, warp_size);
    if (packed && lanes <= 3) return body(Four{}, std::integral_constant<int, 3>{});
    if (packed && lanes <= 5) return body(Four{}, std::integral_constant<int, 5>{});
    if (packed && lanes <= 10) return body(Four{}, std::integral_constant<int, 10>{});
    if (packed && lanes <= 20) return body(Four{}, std::integral_constant<int, 20>{});
  }
  body(One{}, std::integral_constant<int, 0>{});
}

}  // namespace qlora::inline v1::cuda
