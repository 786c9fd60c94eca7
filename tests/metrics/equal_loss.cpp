#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/equal_loss.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;

TEST(FirstCrossing, IsLinearInTheLoss) {
  auto const losses = std::vector{0.8, 0.6, 0.65, 0.4};
  auto const values = std::vector{1., 2., 3., 4.};
  EXPECT_NEAR((*first_crossing(losses, 0.65))(values), 1.75, 1e-14);  // the first time
  EXPECT_EQ((*first_crossing(losses, 0.6))(values), 2);
  EXPECT_NEAR((*first_crossing(losses, 0.5))(values), 3.6, 1e-14);
  EXPECT_EQ((*first_crossing(losses, 0.8))(values), 1);
}

TEST(FirstCrossing, DoesNotExtrapolate) {
  auto const losses = std::vector{0.8, 0.6};
  EXPECT_FALSE(first_crossing(losses, 0.5));
  EXPECT_FALSE(first_crossing(losses, 0.9));
  EXPECT_FALSE(first_crossing({}, 0.9));
  constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(first_crossing(std::vector{nan, 0.5}, 0.6));
}

TEST(EqualLoss, TakesTheLowestLossThatBothReached) {
  auto const fast = LossHistory{.losses = {0.9, 0.5, 0.3}, .values = {0.1, 0.5, 0.6}};
  auto const slow = LossHistory{.losses = {0.8, 0.6, 0.4}, .values = {0.2, 0.4, 0.6}};
  auto const found = at_equal_loss(fast, slow);
  EXPECT_EQ(found.level, 0.4);
  EXPECT_NEAR(found.arm, 0.55, 1e-14);
  EXPECT_EQ(found.reference, 0.6);
  EXPECT_NEAR(found.difference(), -0.05, 1e-14);
  EXPECT_EQ(at_equal_loss(slow, fast).difference(), -found.difference());
  EXPECT_EQ(at_equal_loss(fast, fast).difference(), 0);
}

TEST(EqualLoss, IsNotANumberWhereLossesDoNotOverlap) {
  auto const low = LossHistory{.losses = {0.2, 0.1}, .values = {0.1, 0.5}};
  auto const high = LossHistory{.losses = {0.8, 0.6}, .values = {0.2, 0.4}};
  EXPECT_TRUE(std::isnan(at_equal_loss(low, high).arm));
  EXPECT_TRUE(std::isnan(at_equal_loss(low, high).difference()));
  EXPECT_EQ(qlora::testing::message_of<qlora::ShapeError>(
                [&] { at_equal_loss(low, {.losses = {1}, .values = {}}); }),
            "equal loss: expected a value for each of at least one loss, found 0 for 1");
  EXPECT_THROW(at_equal_loss({}, low), qlora::ShapeError);
}

}  // namespace
