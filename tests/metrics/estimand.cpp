#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/crossed.hpp>
#include <qlora/metrics/estimand.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::message_of;

static_assert(GroupStatistic<MeanOverGroups> && GroupStatistic<Pooled<F1>>);
static_assert(!GroupStatistic<Confusion> && !GroupStatistic<int>);

constexpr auto undefined = std::numeric_limits<double>::quiet_NaN();

TEST(Estimand, AveragesOverGroupsAndSeeds) {
  auto const estimand = Estimand<MeanOverGroups>{{{1, 2, 6}, {3, 4, 5}}};
  EXPECT_EQ(estimand.seeds(), 2u);
  EXPECT_EQ(estimand.groups(), 3u);
  EXPECT_EQ(estimand.by_seed(), (std::vector<double>{3, 4}));
  auto const times = std::vector<std::uint32_t>{2, 1, 0};
  EXPECT_EQ(estimand.value(0, times), 4. / 3);
  EXPECT_EQ(estimand.mean(times, std::vector<std::uint32_t>{2, 0}), 4. / 3);
}

TEST(Estimand, PairsArmsByGroupAndSeed) {
  auto const difference = Estimand<MeanOverGroups>{{{1, 2}, {3, 4}}, {{0, 2}, {1, 1}}};
  EXPECT_EQ(difference.by_seed(), (std::vector<double>{0.5, 2.5}));
  EXPECT_EQ(difference.value(1, std::vector<std::uint32_t>{0, 5}), 3);
}

TEST(Estimand, LeavesOutGroupsThatSomeRunDoesNotDefine) {
  auto const difference =
      Estimand<MeanOverGroups>{{{1, undefined, 2, 9}}, {{0, undefined, 0, undefined}}};
  EXPECT_EQ(difference.groups(), 2u);
  EXPECT_EQ(difference.left_out(), 2u);
  EXPECT_EQ(difference.by_seed().front(), 1.5);
}

TEST(Estimand, PoolsCounts) {
  auto const runs = GroupTable<Confusion>{{{.tp = 1, .fn = 1}, {.fp = 2, .tn = 3}, {}}};
  auto const pooled = Estimand<Pooled<F1>>{runs};
  EXPECT_EQ(pooled.groups(), 2u);  // one has no residues
  EXPECT_EQ(pooled.value(0, std::vector<std::uint32_t>{3, 1}),
            F1::value({.tp = 3, .fp = 2, .fn = 3}));
}

TEST(Estimand, RefusesRunsThatDoNotMatch) {
  EXPECT_EQ(message_of<qlora::ShapeError>([] {
              Estimand<MeanOverGroups>{{{1, 2}}, {{1, 2}, {1, 2}}};
            }),
            "estimand: expected as many runs of both arms, found 1 and 2");
  EXPECT_EQ(message_of<qlora::ShapeError>([] {
              Estimand<MeanOverGroups>{{{1, 2}, {1}}};
            }),
            "estimand: expected 2 groups in every run, found 1");
  EXPECT_EQ(message_of<qlora::ShapeError>([] { Estimand<MeanOverGroups>{GroupTable<double>{}}; }),
            "estimand: expected at least one run, found none");
  EXPECT_THROW((Estimand<MeanOverGroups>{{{1, 2}}, {{1, 2, 3}}}), qlora::ShapeError);
  EXPECT_THROW((Estimand<MeanOverGroups>{GroupTable<double>(1), {{1, 2}}}), qlora::ShapeError);
}

// A statistic of one's own, as in docs/statistics.md: the share of groups in which average
// precision beats prevalence at least twofold.
struct Ranked {
  double average_precision, prevalence;
};

struct TwiceChance {
  using Group = Ranked;
  static bool defined(Group const& group) { return group.prevalence > 0; }
  void add(Group const& group, std::uint32_t times) {
    groups += times;
    if (group.average_precision >= 2 * group.prevalence) better += times;
  }
  double value() const { return better / groups; }
  double better = 0, groups = 0;
};

TEST(Estimand, TakesAUsersStatistic) {
  auto const share = Estimand<TwiceChance>{{{{0.3, 0.1}, {0.1, 0.1}, {0, 0}, {0.5, 0.2}},
                                            {{0.1, 0.1}, {0.2, 0.1}, {0, 0}, {0.3, 0.2}},
                                            {{0.2, 0.1}, {0.2, 0.1}, {0, 0}, {0.6, 0.2}}}};
  EXPECT_EQ(share.left_out(), 1u);
  auto const interval = student_interval(share);
  EXPECT_NEAR(interval.estimate, 2. / 3, 1e-15);
  EXPECT_LT(interval.low, interval.estimate);
}

}  // namespace
