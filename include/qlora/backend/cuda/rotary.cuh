/// Rotary position embedding's table on the device: the host's numbers, to the bit.
#pragma once

#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/backend/rotary_table.hpp>

namespace qlora::inline v1::cuda {

template <class A>
class RotaryAngles {
 public:
  /// Makes sure that positions below `positions` are there for heads of `head_dim`.
  void cover(Index positions, Index head_dim, Stream const& stream) {
    if (head_dim == head_dim_ && positions <= positions_) return;
    head_dim_ = head_dim;
    positions_ = positions;
    table_.cover(positions, head_dim);
    auto const size = positions * (head_dim / 2);
    auto const upload = [&](A const* from, VectorTensor<A, Space::device>& to) {
      to = VectorTensor<A, Space::device>{{size}};
      copy(Vector<A const>{from, {size}}, to.view(), stream);
    };
    upload(table_.cosines(0), cosines_);
    upload(table_.sines(0), sines_);
  }
  /// (positions, head_dim / 2)
  A const* cosines() const { return cosines_.data(); }
  A const* sines() const { return sines_.data(); }

 private:
  Index head_dim_ = 0;
  Index positions_ = 0;
  RotaryTable<A> table_;
  VectorTensor<A, Space::device> cosines_, sines_;
};

}  // namespace qlora::inline v1::cuda
