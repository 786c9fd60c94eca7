#include <array>
#include <cmath>
#include <cstdint>
#include <set>

#include <gtest/gtest.h>

#include <qlora/core/random.hpp>

namespace {
using namespace qlora;

using Words = std::array<std::uint32_t, 4>;

// Random123's published vectors of philox4x32 with 10 rounds (tests/kat_vectors). The counter is
// (block, sample, step, site), the key the seed's halves, low half first.
TEST(RandomBlock, GivesThePublishedNumbers) {
  EXPECT_EQ(random_block({}, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(random_block({.seed = ~std::uint64_t{0}, .step = ~0u, .sample = ~0u, .site = ~0u}, ~0u),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(random_block({.seed = 0x299f31d0'a4093822,
                          .step = 0x13198a2e,
                          .sample = 0x85a308d3,
                          .site = 0x03707344},
                         0x243f6a88),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Uniform01, CoversTheHalfOpenInterval) {
  EXPECT_EQ(uniform01(0), 0.f);
  EXPECT_EQ(uniform01(0x8000'0000u), .5f);
  EXPECT_EQ(uniform01(~0u), 1.f - 0x1p-24f);
}

TEST(RandomSequence, IsTheStreamsBlocksInOrder) {
  auto const stream = RandomStream{.seed = 1, .step = 2, .sample = 3, .site = 4};
  auto sequence = RandomSequence{stream};
  for (auto block = 0u; block < 3; ++block) {
    for (auto const word : random_block(stream, block)) EXPECT_EQ(sequence.word(), word);
  }
}

TEST(RandomSequence, StaysBelowItsBound) {
  auto sequence = RandomSequence{{.seed = 1}};
  auto seen = std::set<std::uint32_t>{};
  for (auto i = 0; i < 200; ++i) seen.insert(sequence.below(5));
  EXPECT_EQ(seen, (std::set<std::uint32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(sequence.below(1), 0u);
}

TEST(RandomSequence, IsUnbiasedForLargeBounds) {
  // Without rejection, a third of these values would come twice as often as the others.
  auto sequence = RandomSequence{{.seed = 2}};
  auto counts = std::array<int, 3>{};
  for (auto i = 0; i < 30'000; ++i) ++counts[sequence.below(0xc000'0000u) % 3];
  for (auto const count : counts) EXPECT_NEAR(count, 10'000, 330);  // 4 standard deviations
}

TEST(RandomSequence, HasTheMomentsOfItsDistributions) {
  constexpr auto n = 100'000;
  auto sequence = RandomSequence{{.seed = 3}};
  auto uniform = 0.;
  auto mean = 0., square = 0., fourth = 0.;
  for (auto i = 0; i < n; ++i) {
    uniform += static_cast<double>(sequence.uniform()) / n;
    auto const x = static_cast<double>(sequence.normal());
    ASSERT_TRUE(std::isfinite(x));
    mean += x / n;
    square += x * x / n;
    fourth += x * x * x * x / n;
  }
  // Within 4 standard errors.
  EXPECT_NEAR(uniform, .5, 4 * std::sqrt(1. / 12 / n));
  EXPECT_NEAR(mean, 0., 4 * std::sqrt(1. / n));
  EXPECT_NEAR(square, 1., 4 * std::sqrt(2. / n));
  EXPECT_NEAR(fourth, 3., 4 * std::sqrt(96. / n));
}

}  // namespace
