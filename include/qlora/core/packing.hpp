/// How a batch is packed: sequences one after the other, without pads. Only attention, rotary and
/// dropout look at it.
#pragma once

#include <cstdint>

#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

/// Label of tokens that no loss counts; the field's convention.
inline constexpr std::int32_t ignored_label = -100;

/// What is equal for batches that take the same work.
struct BatchShape {
  Index tokens = 0;
  Index sequences = 0;
  Index longest = 0;

  friend bool operator==(BatchShape const&, BatchShape const&) = default;
};

/// Per-token views of a packed batch of `sequences()` sequences and `tokens()` tokens.
template <Space M>
struct Packing {
  Vector<std::int32_t const, M> offsets;    ///< (sequences + 1): where each sequence starts
  Vector<std::int32_t const, M> positions;  ///< (tokens): position within its sequence, from 0
  Vector<std::uint32_t const, M> samples;   ///< (tokens): which protein of the data set
  Index longest = 0;                        ///< tokens of the longest sequence

  Index sequences() const { return offsets.size() - 1; }
  Index tokens() const { return positions.size(); }
  BatchShape shape() const { return {tokens(), sequences(), longest}; }
};

/// What a pass over a packed batch reads.
template <Space M>
struct TokenBatch {
  Vector<std::int32_t const, M> ids;     ///< (tokens)
  Vector<std::int32_t const, M> labels;  ///< (tokens): 1, 0 or ignored_label
  Packing<M> packing;
};

}  // namespace qlora::inline v1
