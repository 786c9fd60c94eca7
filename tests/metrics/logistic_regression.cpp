#include <cmath>

#include <gtest/gtest.h>

#include <qlora/metrics/logistic_regression.hpp>

namespace {

using namespace qlora::metrics;

TEST(LogOdds, NeitherOverflowNorRoundToNothing) {
  auto const softmax = LogOdds{};
  EXPECT_EQ(softmax.probability(0), 0.5);
  EXPECT_EQ(softmax.probability(1e6), 1);
  EXPECT_EQ(softmax.probability(-1e6), 0);
  EXPECT_DOUBLE_EQ(softmax.probability(-50), std::exp(-50.));
  EXPECT_DOUBLE_EQ((LogOdds{2, -1}.probability(3)), 1 / (1 + std::exp(-5.)));
}

TEST(LogisticLoss, IsTheCrossEntropyOfATarget) {
  EXPECT_DOUBLE_EQ(logistic_loss(800, 0), 800);
  EXPECT_DOUBLE_EQ(logistic_loss(50, 1), std::exp(-50.));
  auto const p = LogOdds{}.probability(0.3);
  EXPECT_DOUBLE_EQ(logistic_loss(0.3, 0.2), -0.2 * std::log(p) - 0.8 * std::log(1 - p));
}

}  // namespace
