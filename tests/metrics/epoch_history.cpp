#include <cmath>

#include <gtest/gtest.h>

#include <qlora/metrics/epoch_history.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;

EpochHistory const slow{{.8, .6, .4}, {.9, .7, .6}, {{.1, .5}, {.2, .4}, {.4, .2}}};

TEST(EpochHistory, ComparesRunsAtTheLowestLossThatBothReached) {
  auto const fast = EpochHistory{{.7, .3, .1}, {.8, .5, .6}, {{.2, .2}, {.6, .4}, {.9, .9}}};
  auto const both = at_equal_loss(fast, slow);
  EXPECT_DOUBLE_EQ(both.level, .4);
  EXPECT_NEAR(both.arm.held_out_loss, .575, 1e-12);  // three quarters of the way
  EXPECT_NEAR(both.arm.groups.at(0), .5, 1e-12);
  EXPECT_NEAR(both.arm.groups.at(1), .35, 1e-12);
  EXPECT_DOUBLE_EQ(both.reference.held_out_loss, .6);
  EXPECT_DOUBLE_EQ(both.reference.groups.at(0), .4);
}

TEST(EpochHistory, ExtrapolatesNothing) {
  auto const below = at_loss(slow, .9);  // below it from the first epoch
  EXPECT_TRUE(std::isnan(below.held_out_loss));
  ASSERT_EQ(below.groups.size(), 2u);
  EXPECT_TRUE(std::isnan(below.groups[0]));
  EXPECT_TRUE(std::isnan(at_loss(slow, .3).held_out_loss));  // never reached
}

TEST(EpochHistory, WantsAValueForEachEpoch) {
  auto const message = qlora::testing::message_of<qlora::ShapeError>([] {
    at_loss({{.5}, {}, {{1.}}}, .5);
  });
  EXPECT_NE(message.find("1 losses, 0 held-out losses"), std::string::npos) << message;
  EXPECT_NE(qlora::testing::message_of<qlora::ShapeError>([] { at_equal_loss({}, slow); }),
            "no error");
}

}  // namespace
