/// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
/// 1, 2, 3", SC 2011), keyed by (seed, step, sample, site). A number depends on what it is for,
/// never on the order in which numbers are drawn, so threads, packing and devices do not change it.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>

// Philox is integers: without this, Random123 includes every vector intrinsic that the compiler
// has, and all that includes this header compiles half a second longer.
#if !defined(R123_USE_SSE) && !defined(R123_USE_X86INTRIN_H)
#define R123_USE_SSE 0
#define R123_USE_X86INTRIN_H 0
#endif
#include <Random123/philox.h>

#include <qlora/core/host_device.hpp>

namespace qlora::inline v1 {

/// What a stream of numbers is for: a step of training, a protein, and a place in the model.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t sample = 0;
  std::uint32_t site = 0;
};

/// Sites that are no weight matrix; those count from zero.
namespace random_site {
inline constexpr std::uint32_t shuffle = 0x8000'0000u;
inline constexpr std::uint32_t initialise = 0x9000'0000u;  ///< plus the site that is initialised
inline constexpr std::uint32_t synthesis = 0xa000'0000u;
inline constexpr std::uint32_t resampling = 0xb000'0000u;
inline constexpr std::uint32_t splitting = 0xc000'0000u;
inline constexpr std::uint32_t search = 0xd000'0000u;
inline constexpr std::uint32_t labels = 0xe000'0000u;  ///< that are shuffled or hidden
inline constexpr std::uint32_t base = 0xf000'0000u;  ///< plus the site, of a base of random weights
}  // namespace random_site

/// Four random words, number `block` of the stream.
QLORA_HOST_DEVICE inline std::array<std::uint32_t, 4> random_block(RandomStream const& stream,
                                                                   std::uint32_t block) {
  auto const counter = r123::Philox4x32::ctr_type{{block, stream.sample, stream.step, stream.site}};
  auto const key = r123::Philox4x32::key_type{
      {static_cast<std::uint32_t>(stream.seed), static_cast<std::uint32_t>(stream.seed >> 32)}};
  auto const words = r123::Philox4x32{}(counter, key);
  return {words[0], words[1], words[2], words[3]};
}

/// A word as a number in [0, 1), a multiple of 2^-24: exact in float.
QLORA_HOST_DEVICE constexpr float uniform01(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// Numbers of a stream one after the other, for code that is sequential anyway.
class RandomSequence {
 public:
  explicit RandomSequence(RandomStream stream) : stream_{stream} {}

  std::uint32_t word() {
    if (next_ == 4) {
      words_ = random_block(stream_, block_++);
      next_ = 0;
    }
    return words_[next_++];
  }
  /// Uniform in [0, 1).
  float uniform() { return uniform01(word()); }
  /// Uniform in [0, bound), without bias (Lemire, "Fast random integer generation in an interval",
  /// 2019).
  std::uint32_t below(std::uint32_t bound) {
    for (auto const threshold = (0u - bound) % bound;;) {
      auto const product = std::uint64_t{word()} * bound;
      if (static_cast<std::uint32_t>(product) >= threshold) {
        return static_cast<std::uint32_t>(product >> 32);
      }
    }
  }
  /// Standard normal (Box and Muller, 1958).
  float normal() {
    auto const radius = std::sqrt(-2.f * std::log(1.f - uniform()));
    return radius * std::cos(2.f * std::numbers::pi_v<float> * uniform());
  }

 private:
  RandomStream stream_;
  std::array<std::uint32_t, 4> words_{};
  std::uint32_t block_ = 0;
  std::uint32_t next_ = 4;
};

/// Normal numbers of that standard deviation, the stream's first.
template <class T>
void fill_normal(std::span<T> values, RandomStream const& stream, float deviation) {
  auto random = RandomSequence{stream};
  for (auto& value : values) value = static_cast<T>(deviation * random.normal());
}

}  // namespace qlora::inline v1
