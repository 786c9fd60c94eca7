#include <limits>

#include <gtest/gtest.h>

#include <qlora/metrics/interval.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;

Verdict judge(double low, double high, double margin = 0, Wanted wanted = Wanted::high) {
  return verdict({.estimate = (low + high) / 2, .low = low, .high = high}, margin, wanted);
}

TEST(Verdict, FollowsWhereTheIntervalLies) {
  EXPECT_EQ(judge(0.01, 0.03), Verdict::better);
  EXPECT_EQ(judge(-0.03, -0.01), Verdict::worse);
  EXPECT_EQ(judge(-0.01, 0.03), Verdict::undecided);
  EXPECT_EQ(judge(0.01, 0.03, 0, Wanted::low), Verdict::worse);
  EXPECT_EQ(judge(-0.03, -0.01, 0, Wanted::low), Verdict::better);
}

TEST(Verdict, CallsEquivalentWhatIsWithinTheMargin) {
  EXPECT_EQ(judge(-0.01, 0.01, 0.02), Verdict::equivalent);
  EXPECT_EQ(judge(0.005, 0.01, 0.02), Verdict::equivalent);  // surely not 0, but too small
  EXPECT_EQ(judge(0.005, 0.02, 0.02), Verdict::better);
  EXPECT_EQ(judge(-0.02, 0.01, 0.02), Verdict::undecided);
  EXPECT_EQ(judge(0, 0), Verdict::undecided);
}

TEST(Verdict, IsUndecidedInDoubt) {
  EXPECT_EQ(verdict({.low = 1, .high = 2, .doubt = Doubt::few_seeds}, 0), Verdict::undecided);
  constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(judge(nan, nan, 1), Verdict::undecided);
  EXPECT_EQ(reason(Doubt::few_seeds), "fewer than three seeds");
  EXPECT_EQ(name(Verdict::equivalent), "equivalent");
}

TEST(Verdict, RefusesANegativeMargin) {
  EXPECT_EQ(qlora::testing::message_of<qlora::InputError>([] { judge(0, 1, -1); }),
            "verdict: expected a margin of at least 0, found -1.000000");
  EXPECT_THROW(judge(0, 1, std::numeric_limits<double>::quiet_NaN()), qlora::InputError);
}

}  // namespace
