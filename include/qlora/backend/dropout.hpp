/// Inverted dropout whose mask is a function of the protein, not of the batch: the same on every
/// backend, for any packing and any number of threads, so nothing needs to be stored for the
/// backward pass.
#pragma once

#include <array>
#include <cstdint>

#include <qlora/core/random.hpp>

namespace qlora::inline v1 {

/// Drops an input element with `probability`, rounded to a multiple of 2^-16, and scales the rest.
/// The site of a mask is its weight matrix; the sample comes from the batch.
struct Dropout {
  float probability = 0.f;
  std::uint64_t seed = 0;
  std::uint32_t step = 0;

  QLORA_HOST_DEVICE constexpr bool active() const { return probability > 0.f; }
  /// An element is kept when its 16 random bits are at least this.
  QLORA_HOST_DEVICE constexpr std::uint32_t threshold() const {
    // NOLINTNEXTLINE(bugprone-incorrect-roundings): never negative
    return static_cast<std::uint32_t>(probability * 65536.f + .5f);
  }
  QLORA_HOST_DEVICE constexpr float scale() const {
    return 65536.f / static_cast<float>(65536u - threshold());
  }
};

/// Sixteen random bits each for columns 8 `octet` ... 8 `octet` + 7 of a token's row: column c
/// takes a half of word c / 2 % 4, the low one first. A row of `columns` elements uses (columns +
/// 7) / 8 blocks.
QLORA_HOST_DEVICE inline std::array<std::uint32_t, 4> dropout_block(
    Dropout const& dropout, std::uint32_t site, std::uint32_t sample, std::uint32_t position,
    std::uint32_t octets_per_row, std::uint32_t octet) {
  return random_block({dropout.seed, dropout.step, sample, site},
                      position * octets_per_row + octet);
}

/// Element `i` of 8 in a block.
QLORA_HOST_DEVICE inline std::uint32_t dropout_bits(std::array<std::uint32_t, 4> const& block,
                                                    int i) {
  return block[static_cast<std::size_t>(i / 2)] >> (i % 2 * 16) & 0xffffu;
}

}  // namespace qlora::inline v1
