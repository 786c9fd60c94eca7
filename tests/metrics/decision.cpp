#include <gtest/gtest.h>

#include <qlora/metrics/decision.hpp>

namespace {

using namespace qlora::metrics;

Ranking ranking(std::initializer_list<float> sites, std::initializer_list<float> others) {
  auto result = Ranking{};
  for (auto const margin : sites) result.add({.logit0 = 0, .logit1 = margin, .label = 1});
  for (auto const margin : others) result.add({.logit0 = 0, .logit1 = margin, .label = 0});
  result.finish();
  return result;
}

TEST(Decision, IsMadeOnOneSplitAndJudgedOnAnother) {
  auto const decision = decide(ranking({5, 4, 1}, {3, 0, -1, -2, -3}));
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->mcc.threshold, 1.f);
  EXPECT_EQ(decision->f1.threshold, 1.f);
  auto const applied = apply(*decision, ranking({6, 3}, {4, 1, -1}));
  EXPECT_EQ(applied.at_mcc, (Confusion{.tp = 2, .fp = 2, .tn = 1, .fn = 0}));
  EXPECT_EQ(applied.at_f1, (Confusion{.tp = 2, .fp = 2, .tn = 1, .fn = 0}));
  EXPECT_GT(applied.log_loss, 0);
  EXPECT_LT(applied.brier_score, .5);
}

TEST(Decision, IsNoneWhereNothingCanBeDecided) {
  EXPECT_FALSE(decide(ranking({}, {1, 2})));
  EXPECT_FALSE(decide(ranking({1}, {})));
  EXPECT_FALSE(decide(ranking({-1}, {1, 2})));  // worse than chance everywhere
}

}  // namespace
