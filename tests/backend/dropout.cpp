#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cpu/lora.hpp>
#include <qlora/backend/dropout.hpp>
#include <qlora/data/batch.hpp>

namespace {
using namespace qlora;

constexpr auto columns = Index{20};

/// Factors of one protein's tokens for two targets, as a verb reads them from a batch.
std::vector<float> factors(PackedBatch const& batch, Rows rows, Dropout dropout,
                           std::uint32_t first_site = 3) {
  auto values = std::vector<float>{};  // (rows, 2, columns)
  auto const input = LoraInput{.targets = 2, .first_site = first_site, .dropout = dropout};
  reference::for_each_input<float>(
      input, batch.packing(), rows, columns,
      [&](Index, Index, Index, float factor) { values.push_back(factor); });
  return values;
}

std::vector<float> factors(Dropout dropout, std::uint32_t sample = 0, std::uint32_t site = 3) {
  auto batch = PackedBatch{};
  batch.add({"", std::string(998, 'A'), {}}, sample);
  return factors(batch, {0, 1000}, dropout, site);
}

TEST(Dropout, ScalesWhatItKeepsToTheExpectation) {
  EXPECT_FALSE(Dropout{}.active());
  EXPECT_EQ(Dropout{.probability = .5f}.threshold(), 0x8000u);
  EXPECT_EQ(Dropout{.probability = .5f}.scale(), 2.f);
  for (auto const probability : {.05f, .1f, .3f, .9f}) {
    auto const dropout = Dropout{.probability = probability};
    EXPECT_NEAR(dropout.threshold() / 65536., probability, .5 / 65536 + 1e-7);
    auto const kept = 1. - dropout.threshold() / 65536.;
    EXPECT_NEAR(kept * static_cast<double>(dropout.scale()), 1., 1e-6);
  }
}

TEST(Dropout, KeepsAtItsRate) {
  for (auto const probability : {.1f, .5f, .9f}) {
    auto const dropout = Dropout{.probability = probability, .seed = 17};
    auto const values = factors(dropout);
    auto kept = 0.;
    for (auto const value : values) {
      ASSERT_TRUE(value == 0.f || value == dropout.scale());
      kept += value != 0.f;
    }
    auto const p = static_cast<double>(probability);
    auto const n = static_cast<double>(values.size());
    EXPECT_NEAR(kept / n, 1. - p, 4 * std::sqrt(p * (1. - p) / n));
  }
}

TEST(Dropout, InactiveChangesNothing) {
  EXPECT_EQ(factors(Dropout{}), std::vector<float>(std::size_t{1000} * 2 * columns, 1.f));
}

/// How often two masks of the same size agree.
double agreement(std::vector<float> const& a, std::vector<float> const& b) {
  auto same = 0.;
  for (auto i = std::size_t{0}; i < a.size(); ++i) same += a[i] == b[i];
  return same / static_cast<double>(a.size());
}

TEST(Dropout, IsIndependentForTargetsSamplesStepsAndSeeds) {
  auto const dropout = Dropout{.probability = .5f, .seed = 17, .step = 4};
  auto const mask = factors(dropout);
  auto const tolerance = 4 * std::sqrt(.25 / static_cast<double>(mask.size()));
  EXPECT_EQ(agreement(mask, factors(dropout)), 1.);
  EXPECT_NEAR(agreement(mask, factors(dropout, 1)), .5, tolerance);
  EXPECT_NEAR(agreement(mask, factors(dropout, 0, 5)), .5, tolerance);
  auto other = dropout;
  other.step = 5;
  EXPECT_NEAR(agreement(mask, factors(other)), .5, tolerance);
  other = dropout;
  other.seed = 18;
  EXPECT_NEAR(agreement(mask, factors(other)), .5, tolerance);
  // Neighbouring targets, columns and positions within one mask (token, target, column).
  for (auto const distance : {columns, Index{1}, 2 * columns}) {
    auto const shifted = std::vector<float>(mask.begin() + distance, mask.end());
    EXPECT_NEAR(agreement(shifted, mask), .5, tolerance) << distance;
  }
}

TEST(Dropout, IsTheSameWhateverTheBatch) {
  auto const dropout = Dropout{.probability = .3f, .seed = 17};
  auto const protein = Protein{"", "MKVLAARNDC", {}};
  auto alone = PackedBatch{};
  alone.add(protein, 42);
  auto packed = PackedBatch{};
  packed.add({"", "ACDEFG", {}}, 7);
  packed.add(protein, 42);
  packed.add({"", "MK", {}}, 43);
  EXPECT_EQ(factors(packed, {8, 12}, dropout), factors(alone, {0, 12}, dropout));
}

TEST(DropoutBlock, IsUsedByOneOctetOnly) {
  auto const octets = static_cast<std::uint32_t>((columns + 7) / 8);
  auto blocks = std::set<std::array<std::uint32_t, 4>>{};
  for (auto position = 0u; position < 100; ++position) {
    for (auto octet = 0u; octet < octets; ++octet) {
      blocks.insert(dropout_block({.seed = 1}, 2, 3, position, octets, octet));
    }
  }
  EXPECT_EQ(blocks.size(), 100 * octets);
}

TEST(DropoutBits, AreTheHalfWordsLowFirst) {
  auto const block = std::array<std::uint32_t, 4>{0x00010000, 0x00030002, 0x00050004, 0xfffffffe};
  for (auto i = 0; i < 6; ++i) EXPECT_EQ(dropout_bits(block, i), static_cast<std::uint32_t>(i));
  EXPECT_EQ(dropout_bits(block, 6), 0xfffeu);
  EXPECT_EQ(dropout_bits(block, 7), 0xffffu);
}

}  // namespace
