/// Rotary position embedding (Su et al., arXiv:2104.09864), base 10000, first half of a head
/// against its second half: the angles.
#pragma once

#include <cmath>
#include <vector>

#include <qlora/core/memory.hpp>

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

}  // namespace qlora::inline v1
