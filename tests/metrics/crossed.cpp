#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/crossed.hpp>

#include "metrics/runs.hpp"
#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::expect_close;
using qlora::testing::message_of;

void expect_student(auto const& estimand, nlohmann::json const& golden) {
  auto const interval = student_interval(estimand, 0.9);
  EXPECT_EQ(interval.doubt, Doubt::none);
  expect_close(interval.estimate, golden.at("estimate"));
  expect_close(interval.low, golden.at("student")[0]);
  expect_close(interval.high, golden.at("student")[1]);
  expect_close(crossed_variance(pseudo_values(estimand)).freedom, golden.at("freedom"), 1e-10);
}

TEST(StudentInterval, AgreesWithAnIndependentAnalysisOfVariance) {
  qlora::testing::for_each_golden_estimand(
      [](auto const& estimand, nlohmann::json const& golden) { expect_student(estimand, golden); });
}

TEST(PseudoValues, OfAMeanAreTheObservations) {
  auto const runs = GroupTable<double>{{1, 2, 6}, {3, 4, 5}};
  auto const values = pseudo_values(Estimand<MeanOverGroups>{runs});
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t g = 0; g < 3; ++g) EXPECT_NEAR(values[s][g], runs[s][g], 1e-14);
}

TEST(CrossedVariance, IsThatOfSeedsWhereOnlySeedsDiffer) {
  auto const variance = crossed_variance({{1, 1, 1}, {2, 2, 2}, {4, 4, 4}});
  EXPECT_NEAR(variance.variance, 7. / 3 / 3, 1e-14);
  EXPECT_NEAR(variance.freedom, 2, 1e-14);
}

TEST(CrossedVariance, IsThatOfGroupsWhereOnlyGroupsDiffer) {
  auto const variance = crossed_variance({{1, 2, 4}, {1, 2, 4}});
  EXPECT_NEAR(variance.variance, 7. / 3 / 3, 1e-14);
  EXPECT_NEAR(variance.freedom, 2, 1e-14);
  EXPECT_NEAR(crossed_variance({{1, 2, 4}}).variance, 7. / 3 / 3, 1e-14);
}

TEST(CrossedVariance, HasFewDegreesOfFreedomWhereFewGroupsMakeUpTheSum) {
  auto table = std::vector<std::vector<double>>(3, std::vector<double>(40));
  for (auto& run : table) run[3] = 5, run[17] = -5;
  EXPECT_NEAR(crossed_variance(table).freedom, 3 * 50. * 50 / (2 * 625), 1e-12);
}

/// The largest value, of at least two groups.
struct Largest {
  using Group = double;
  static bool defined(double) { return true; }
  void add(double value, std::uint32_t times) {
    groups += times;
    if (times > 0) largest = std::max(largest, value);
  }
  double value() const { return groups < 2 ? NAN : largest; }
  std::uint32_t groups = 0;
  double largest = 0;
};

TEST(StudentInterval, IsUndefinedWhereTheStatisticNeedsEveryGroup) {
  for (auto const seeds : {1u, 3u}) {
    auto const interval =
        student_interval(Estimand<Largest>{GroupTable<double>(seeds, {0.25, 0.5})});
    EXPECT_EQ(interval.estimate, 0.5);
    EXPECT_EQ(interval.doubt, Doubt::undefined);
    EXPECT_TRUE(std::isnan(interval.low));
  }
}

TEST(StudentInterval, SaysWhatItLacks) {
  auto const few_seeds = student_interval(Estimand<MeanOverGroups>{{{1, 2, 4}}});
  EXPECT_EQ(few_seeds.doubt, Doubt::few_seeds);
  EXPECT_NEAR(few_seeds.high - few_seeds.low, 2 * 4.302652729749464 * std::sqrt(7. / 9), 1e-12);
  auto const one_group = student_interval(Estimand<MeanOverGroups>{{{1}, {2}, {3}}});
  EXPECT_EQ(one_group.doubt, Doubt::few_groups);
  EXPECT_EQ(one_group.estimate, 2);
  EXPECT_TRUE(std::isnan(one_group.low));
  constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
  auto const none = student_interval(Estimand<MeanOverGroups>{{{nan}, {nan}, {nan}}});
  EXPECT_EQ(none.doubt, Doubt::undefined);
  EXPECT_EQ(none.left_out, 1u);
  EXPECT_EQ(verdict(none, 1), Verdict::undecided);
}

TEST(StudentInterval, IsAPointWhereNothingVaries) {
  auto const runs = GroupTable<double>(3, {0.5, 0.5, 0.5});
  auto const interval = student_interval(Estimand<MeanOverGroups>{runs, runs});
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 0);
  EXPECT_EQ(verdict(interval, 0.01), Verdict::equivalent);
  EXPECT_EQ(
      message_of<qlora::InputError>([&] { student_interval(Estimand<MeanOverGroups>{runs}, 1); }),
      "confidence: expected a number between 0 and 1, found 1");
}

}  // namespace
