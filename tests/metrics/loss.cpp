#include <cmath>

#include <gtest/gtest.h>

#include <qlora/metrics/loss.hpp>

namespace {

using namespace qlora::metrics;

TEST(CrossEntropy, NeitherOverflowsNorVanishes) {
  auto wrong = CrossEntropy{};
  wrong.add({.logit0 = -3e38f, .logit1 = 3e38f, .label = 0});
  EXPECT_DOUBLE_EQ(LossUnweighted::value(wrong), 2 * static_cast<double>(3e38f));
  auto right = CrossEntropy{};
  right.add({.logit0 = 0, .logit1 = 50, .label = 1});
  EXPECT_DOUBLE_EQ(LossUnweighted::value(right), std::exp(-50.));
}

TEST(CrossEntropy, DividesByTheWeightsMet) {
  auto entropy = CrossEntropy{{.class_weights = {1, 3}}};
  entropy.add({.logit0 = 0, .logit1 = 0, .label = 1});
  entropy.add({.logit0 = 0, .logit1 = 0, .label = 0});
  EXPECT_DOUBLE_EQ(Loss::value(entropy), std::log(2));
  entropy.add({.logit0 = 0, .logit1 = 100, .label = 0});
  EXPECT_DOUBLE_EQ(Loss::value(entropy), (4 * std::log(2) + 100) / 5);
  EXPECT_DOUBLE_EQ(LossUnweighted::value(entropy), (2 * std::log(2) + 100) / 3);
}

TEST(CrossEntropy, IsNotANumberWithoutWeight) {
  auto entropy = CrossEntropy{{.class_weights = {0, 1}}};
  entropy.add({.logit0 = 0, .logit1 = 0, .label = 0});
  EXPECT_TRUE(std::isnan(Loss::value(entropy)));
}

TEST(CompensatedSum, KeepsSmallTerms) {
  auto sum = CompensatedSum{}, other = CompensatedSum{};
  sum += 1;
  for (int i = 0; i < 1000; ++i) sum += 1e-17;
  for (int i = 0; i < 1000; ++i) other += 1e-17;
  other += -1;
  sum += other;
  EXPECT_NEAR(sum.value(), 2e-14, 1e-26);
}

}  // namespace
