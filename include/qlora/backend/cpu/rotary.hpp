/// Rotary position embedding of one token.
#pragma once

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/rotary_table.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

namespace reference {

/// Rotates every head of one token's row in place and multiplies it by `scale`.
template <class T, class A = Accumulate<T>>
void rotary_row(Vector<T> row, Index heads, A const* cosines, A const* sines, A scale,
                Rotation rotation) {
  auto const half = row.size() / heads / 2;
  auto const sign = rotation == Rotation::forward ? A{1} : A{-1};
  for (auto head = Index{0}; head < heads; ++head) {
    auto* const first = row.data() + head * 2 * half;
    auto* const second = first + half;
    for (auto j = Index{0}; j < half; ++j) {
      auto const a = convert<A>(first[j]);
      auto const b = convert<A>(second[j]);
      auto const sine = sign * sines[j];
      first[j] = convert<T>(scale * (a * cosines[j] - b * sine));
      second[j] = convert<T>(scale * (b * cosines[j] + a * sine));
    }
  }
}

}  // namespace reference
}  // namespace qlora::inline v1
