#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/group_scores.hpp>
#include <qlora/metrics/metric_set.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;

/// Proteins 0 and 2 are of group 0; protein 1, of group 1, has no site.
GroupedScores filled() {
  auto grouped = GroupedScores{{0, 1, 0}, 2};
  auto const add = [&](std::uint32_t protein, std::vector<float> const& logits,
                       std::vector<std::int8_t> const& labels) {
    grouped.add(protein, logits, labels);
  };
  add(0, {0, 3, 0, 2, 0, -1}, {1, 0, -1});
  add(1, {0, 1}, {0});
  add(2, {0, 1, 0, -2}, {1, 0});
  return grouped;
}

TEST(GroupedScores, LeaveAFewNumbersAGroup) {
  auto const scores = filled().scores();
  EXPECT_DOUBLE_EQ(scores.average_precision.at(0), (1. + 2. / 3.) / 2.);
  EXPECT_TRUE(std::isnan(scores.average_precision.at(1)));
  EXPECT_DOUBLE_EQ(scores.precision_at_recall.at(0), 1.);
  EXPECT_EQ(scores.confusion.at(0), (Confusion{.tp = 2, .fp = 1, .tn = 1, .fn = 0}));
  EXPECT_EQ(scores.confusion.at(1), (Confusion{.tp = 0, .fp = 1, .tn = 0, .fn = 0}));
  // The group without sites has no say in what chance gives.
  EXPECT_DOUBLE_EQ(mean_where_both_classes<Prevalence>(scores.confusion), .5);
  // Of two sites and two others there are six orders:
  // 1 + 1, 1 + 2/3, 1 + 2/4, 1/2 + 2/3, 1/2 + 2/4, 1/3 + 2/4.
  EXPECT_NEAR(mean_where_both_classes<RandomOrder>(scores.confusion),
              (2. + 5. / 3. + 1.5 + 7. / 6. + 1. + 5. / 6.) / 12., 1e-15);
}

TEST(RandomOrder, IsTheMeanOverShuffledOrders) {
  EXPECT_EQ(RandomOrder::value({.tp = 0, .fp = 3, .tn = 2, .fn = 0}), 0.);
  EXPECT_EQ(RandomOrder::value({.tp = 1, .fp = 0, .tn = 0, .fn = 1}), 1.);
  // One site among N: the mean of 1 / rank, H / N. On both sides of the switch to the expansion.
  auto harmonic = 0.;
  for (auto n = std::uint64_t{1}; n <= 80; ++n) {
    harmonic += 1. / static_cast<double>(n);
    if (n < 2) continue;
    EXPECT_NEAR(RandomOrder::value({.tp = 1, .fp = n - 1, .tn = 0, .fn = 0}),
                harmonic / static_cast<double>(n), 1e-14)
        << n;
  }
}

TEST(GroupedScores, PoolTheResiduesOfAllGroups) {
  auto const pooled = filled().pooled();
  EXPECT_EQ(pooled.positives(), 2u);
  EXPECT_EQ(pooled.negatives(), 3u);
  EXPECT_DOUBLE_EQ(AveragePrecision::value(pooled), (1. + 2. / 4.) / 2.);
}

TEST(GroupedScores, RefuseLabelsOfAnotherNumber) {
  auto grouped = GroupedScores{{0}, 1};
  auto const message = qlora::testing::message_of<qlora::ShapeError>([&] {
    grouped.add(0, std::vector<float>{0, 1}, std::vector<std::int8_t>{0, 1});
  });
  EXPECT_NE(message.find("expected 4 logits for 2 labels"), std::string::npos) << message;
}

}  // namespace
