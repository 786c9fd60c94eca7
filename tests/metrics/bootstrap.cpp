#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/parallel.hpp>
#include <qlora/metrics/bootstrap.hpp>
#include <qlora/metrics/crossed.hpp>

#include "metrics/runs.hpp"
#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::expect_close;
using qlora::testing::message_of;

constexpr auto golden_options =
    BootstrapOptions{.seed = (std::uint64_t{1} << 40) + 3, .resamples = 499, .confidence = 0.9};

TEST(Bootstrap, AgreesWithScipyOnTheSameDraws) {
  qlora::testing::for_each_golden_estimand([](auto const& estimand, nlohmann::json const& golden) {
    auto const bootstrap = Bootstrap{estimand, golden_options};
    auto const percentile = bootstrap.percentile(), bca = bootstrap.bca();
    EXPECT_EQ(percentile.groups, 12u);
    EXPECT_EQ(bootstrap.undefined(), 0u);
    expect_close(percentile.estimate, golden.at("estimate"));
    expect_close(percentile.low, golden.at("percentile")[0]);
    expect_close(percentile.high, golden.at("percentile")[1]);
    expect_close(bca.low, golden.at("bca")[0]);
    expect_close(bca.high, golden.at("bca")[1]);
    for (auto const& resample : golden.at("resamples")) {
      auto const value = resample.get<double>();
      auto const above = std::ranges::lower_bound(bootstrap.values(), value - 1e-12);
      ASSERT_NE(above, bootstrap.values().end());
      expect_close(*above, value);
    }
  });
}

TEST(Bootstrap, DoesNotDependOnThreads) {
  auto const runs =
      qlora::testing::runs_of<double>(qlora::testing::statistics()["bootstrap"]["values"]["arm"]);
  auto const estimand = Estimand<MeanOverGroups>{runs};
  auto const values = [&](int threads) {
    auto const before = std::exchange(qlora::thread_count(), threads);
    auto const bootstrap = Bootstrap{estimand, {.seed = 7, .resamples = 333}};
    qlora::thread_count() = before;
    return std::vector<double>(bootstrap.values().begin(), bootstrap.values().end());
  };
  auto const one = values(1);
  EXPECT_EQ(one.size(), 333u);
  EXPECT_EQ(one, values(2));
  EXPECT_EQ(one, values(5));
}

TEST(Bootstrap, DrawsTheSameGroupsAndSeedsForBothArms) {
  auto const arm = GroupTable<double>{{1, 5, 3}, {2, 9, 4}, {0, 1, 7}};
  auto shifted = arm;
  for (auto& run : shifted)
    for (auto& value : run) value += 0.25;
  auto const bootstrap = Bootstrap{Estimand<MeanOverGroups>{shifted, arm}};
  EXPECT_NEAR(bootstrap.values().front(), 0.25, 1e-14);
  EXPECT_NEAR(bootstrap.values().back(), 0.25, 1e-14);
}

TEST(Bootstrap, HasNoBoundsWithoutSpreadOrGroups) {
  auto const same = Bootstrap{Estimand<MeanOverGroups>{{{1, 1}, {1, 1}, {1, 1}}}};
  EXPECT_EQ(same.percentile().low, 1);
  EXPECT_TRUE(std::isnan(same.bca().low));
  EXPECT_EQ(same.bca().doubt, Doubt::no_spread);
  auto const one = Bootstrap{Estimand<MeanOverGroups>{{{1}, {2}, {3}}}};
  EXPECT_EQ(one.percentile().doubt, Doubt::few_groups);
  EXPECT_TRUE(std::isnan(one.percentile().low) && std::isnan(one.bca().high));
  EXPECT_EQ(one.percentile().estimate, 2);
}

TEST(Bootstrap, ResamplesGroupsAloneForASingleSeed) {
  auto const bootstrap = Bootstrap{Estimand<MeanOverGroups>{{{1, 2, 3, 9}}}};
  EXPECT_EQ(bootstrap.bca().doubt, Doubt::few_seeds);
  EXPECT_LT(bootstrap.bca().low, 3.75);
  EXPECT_GT(bootstrap.bca().high, bootstrap.percentile().estimate);
}

/// The mean of values above 0: a resample may have none.
struct MeanAboveZero : MeanOverGroups {
  void add(double value, std::uint32_t times) {
    if (value > 0) MeanOverGroups::add(value, times);
  }
};

/// How many times as good an arm is: an estimand of one's own.
class Ratio : public Estimand<MeanOverGroups> {
 public:
  Ratio(Table const& arm, Table const& reference) : Estimand{arm}, reference_{reference} {}
  double value(std::size_t seed, std::span<std::uint32_t const> times) const {
    return Estimand::value(seed, times) / reference_.value(seed, times);
  }
  std::vector<double> by_seed() const {
    auto values = Estimand::by_seed();
    std::ranges::transform(values, reference_.by_seed(), values.begin(), std::divides{});
    return values;
  }
  double mean(std::span<std::uint32_t const> times,
              std::span<std::uint32_t const> seed_times) const {
    return Estimand::mean(times, seed_times) / reference_.mean(times, seed_times);
  }

 private:
  Estimand<MeanOverGroups> reference_;
};

TEST(Bootstrap, TakesAUsersEstimand) {
  auto const arm = GroupTable<double>{{2, 4, 6}, {2, 4, 6}, {2, 4, 6}};
  auto const reference = GroupTable<double>{{1, 2, 3}, {1, 2, 3}, {1, 2, 3}};
  auto const ratio = Ratio{arm, reference};
  EXPECT_EQ(Bootstrap{ratio}.percentile().low, 2);
  EXPECT_EQ(student_interval(ratio).estimate, 2);
}

TEST(Bootstrap, CountsResamplesWithoutAValue) {
  auto const bootstrap = Bootstrap{Estimand<MeanAboveZero>{{{1, 2, -1, -1}, {2, 2, -1, -1}}}};
  EXPECT_GT(bootstrap.undefined(), 0u);  // 1 in 16
  EXPECT_EQ(bootstrap.undefined() + bootstrap.values().size(), 2000u);
  EXPECT_GT(bootstrap.percentile().low, 0.9);
}

TEST(Bootstrap, RefusesOptionsThatMakeNoInterval) {
  auto const estimand = Estimand<MeanOverGroups>{{{1, 2}}};
  EXPECT_EQ(message_of<qlora::InputError>([&] {
              Bootstrap{estimand, {.resamples = 0}};
            }),
            "resamples: expected at least 1, found 0");
  EXPECT_THROW((Bootstrap{estimand, {.confidence = 1}}), qlora::InputError);
}

}  // namespace
