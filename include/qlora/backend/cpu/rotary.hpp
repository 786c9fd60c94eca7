/// Rotary position embedding (Su et al., arXiv:2104.09864), base 10000, first half of a head
/// against its second half.
#pragma once

#include <cmath>
#include <vector>

#include <qlora/backend/concepts.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

/// Cosines and sines of every position and frequency. Angles are float products of float
/// frequencies, whatever the compute type: the published weights were trained with those, and at
/// position 300 they differ from exact ones by 1e-5.
template <class A>
class RotaryTable {
 public:
  /// Makes sure that positions below `positions` are there for heads of `head_dim`.
  void cover(Index positions, Index head_dim) {
    auto const half = head_dim / 2;
    if (half != half_) {
      half_ = half;
      cosines_.clear();
      sines_.clear();
    }
    auto first = static_cast<Index>(cosines_.size()) / half;
    for (; first < positions; ++first) {
      for (auto j = Index{0}; j < half; ++j) {
        auto const exponent = static_cast<float>(2 * j) / static_cast<float>(head_dim);
        auto const frequency = 1.f / std::pow(10000.f, exponent);
        auto const angle = static_cast<double>(static_cast<float>(first) * frequency);
        cosines_.push_back(static_cast<A>(std::cos(angle)));
        sines_.push_back(static_cast<A>(std::sin(angle)));
      }
    }
  }
  /// (head_dim / 2) values for a position.
  A const* cosines(Index position) const { return cosines_.data() + position * half_; }
  A const* sines(Index position) const { return sines_.data() + position * half_; }

 private:
  Index half_ = 0;
  std::vector<A> cosines_, sines_;
};

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
