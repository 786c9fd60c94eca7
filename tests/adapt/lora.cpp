#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/adapt/lora.hpp>

#include "support/errors.hpp"

namespace {
using namespace qlora;

TEST(LoraOptions, ScaleByRankOrItsRoot) {
  auto options = LoraOptions{.rank = 4, .alpha = 2.f};
  EXPECT_EQ(options.scale(), .5);
  options.scaling = LoraScaling::rank_stabilised;
  EXPECT_EQ(options.scale(), 1.);
}

TEST(LoraOptions, RefusesWhatMakesNoAdapter) {
  auto const infinity = std::numeric_limits<float>::infinity();
  EXPECT_NO_THROW(check(LoraOptions{}));
  EXPECT_NO_THROW(check(LoraOptions{.rank = 1, .alpha = -1.f, .dropout = .99f}));
  EXPECT_NO_THROW(check(LoraOptions{.rank = 65'536, .alpha = 1e9f}));
  for (auto const& impossible :
       {LoraOptions{.rank = 0}, LoraOptions{.rank = -2}, LoraOptions{.rank = 65'537},
        LoraOptions{.alpha = infinity}, LoraOptions{.alpha = 2e9f}, LoraOptions{.alpha = -2e9f},
        LoraOptions{.alpha = std::nanf("")}, LoraOptions{.dropout = 1.f},
        LoraOptions{.dropout = -.1f}, LoraOptions{.dropout = std::nanf("")}}) {
    EXPECT_THROW(check(impossible), InputError);
  }
  EXPECT_EQ(qlora::testing::message_of<InputError>([] { check(LoraOptions{.dropout = 1.5f}); }),
            "dropout: expected at least 0 and less than 1, found 1.5");
}

TEST(Parameters, LieOneBehindTheOtherInOneBuffer) {
  auto parameters = Parameters<float>{};
  EXPECT_EQ(parameters.add("a", 2, 3), 0);
  EXPECT_EQ(parameters.add("b", 4, 2), 6);
  EXPECT_EQ(parameters.add("bias", 5, 0), 14);
  parameters.allocate();
  EXPECT_EQ(parameters.size(), 19);
  auto const values = parameters.values();
  for (auto i = Index{0}; i < values.size(); ++i) values[i] = static_cast<float>(i);

  auto const b = parameters.value(6, 4, 2);  // (4, 2)
  EXPECT_EQ(b(0, 0), 6.f);
  EXPECT_EQ(b(3, 1), 13.f);
  auto const& entries = parameters.entries();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[1].name, "b");
  EXPECT_EQ(parameters.value(entries[1]).data(), b.data());
  EXPECT_EQ(parameters.value(entries[2]).size(), 5);
  EXPECT_EQ(parameters.value(entries[2])[4], 18.f);
}

TEST(Parameters, KeepGradientsAndMomentsApart) {
  auto parameters = Parameters<double>{};
  parameters.add("a", 2, 3);
  parameters.allocate();
  auto const all = {parameters.values(), parameters.gradients(), parameters.first_moments(),
                    parameters.second_moments()};
  auto mark = 0.;
  for (auto const vector : all) std::fill(vector.begin(), vector.end(), ++mark);
  EXPECT_EQ(parameters.value(parameters.entries()[0])[5], 1.);
  EXPECT_EQ(parameters.gradient(parameters.entries()[0])[5], 2.);
  EXPECT_EQ(parameters.gradient(0, 2, 3)(1, 2), 2.);
  EXPECT_EQ(parameters.first_moments()[0], 3.);
  EXPECT_EQ(parameters.second_moments()[0], 4.);
}

TEST(Parameters, DecayUpToTheMark) {
  auto parameters = Parameters<float>{};
  parameters.add("a", 2, 3);
  EXPECT_EQ(parameters.decayed(), 6);
  parameters.end_of_decayed();
  parameters.add("bias", 2, 0);
  EXPECT_EQ(parameters.decayed(), 6);
  EXPECT_EQ(parameters.size(), 8);
}

TEST(Parameters, TakeNoTensorOnceAllocated) {
  auto parameters = Parameters<float>{};
  parameters.add("a", 1, 1);
  parameters.allocate();
  try {
    parameters.add("late", 1, 1);
    FAIL();
  } catch (Error const& error) {
    EXPECT_STREQ(error.what(), "late: parameters are allocated already");
  }
}

std::vector<float> initial(Index in, std::uint64_t seed, std::uint32_t site) {
  auto values = std::vector<float>(static_cast<std::size_t>(8 * in));  // (8, in)
  initialise_lora_a(Vector<float>{values.data(), {8 * in}}, in, seed, site);
  return values;
}

TEST(InitialiseLoraA, IsUniformWithinTheRootOfItsInputs) {
  constexpr auto in = Index{1024};
  auto const bound = 1. / std::sqrt(static_cast<double>(in));
  auto mean = 0., square = 0., largest = 0.;
  auto const values = initial(in, 1, 2);
  auto const n = static_cast<double>(values.size());
  for (auto const value : values) {
    auto const x = static_cast<double>(value) / bound;
    mean += x / n;
    square += x * x / n;
    largest = std::max(largest, std::fabs(x));
  }
  // Within 4 standard errors.
  EXPECT_NEAR(mean, 0., 4 * std::sqrt(1. / 3 / n));
  EXPECT_NEAR(square, 1. / 3, 4 * std::sqrt(4. / 45 / n));
  EXPECT_LE(largest, 1.);
  EXPECT_GT(largest, .99);
}

TEST(InitialiseLoraA, DependsOnSeedAndSiteAlone) {
  EXPECT_EQ(initial(16, 1, 2), initial(16, 1, 2));
  EXPECT_NE(initial(16, 1, 2), initial(16, 2, 2));
  EXPECT_NE(initial(16, 1, 2), initial(16, 1, 3));
}

}  // namespace
