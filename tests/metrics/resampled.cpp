// Intervals of one evaluation: every resample is what a metric set says of the residues drawn.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/random.hpp>
#include <qlora/metrics/bootstrap.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/metrics/resampled.hpp>

namespace qlora::metrics {
namespace {

struct LabelledProtein {
  std::uint32_t group = 0;
  std::vector<float> logits;
  std::vector<int> labels;
};

/// Scores on a coarse grid, so that many are equal; some labels unknown, group 3 has none known.
std::vector<LabelledProtein> proteins() {
  auto random = RandomSequence{{.seed = 3}};
  auto result = std::vector<LabelledProtein>{};
  for (auto p = 0u; p < 13; ++p) {
    auto protein = LabelledProtein{.group = p % 5, .logits = {}, .labels = {}};
    for (auto residues = 3 + random.below(20); residues > 0; --residues) {
      protein.logits.push_back(static_cast<float>(random.below(7)) / 4.f);
      protein.logits.push_back(static_cast<float>(random.below(7)) / 4.f);
      protein.labels.push_back(protein.group == 3 ? -1 : static_cast<int>(random.below(3)) - 1);
    }
    result.push_back(std::move(protein));
  }
  return result;
}

/// Counts proteins of one's own: merged, not sorted.
struct Residues {
  static constexpr std::string_view name = "residues_met";
  struct Accumulator {
    void add(Prediction const&) { count += 1; }
    void merge(Accumulator const& other) { count += other.count; }
    double count = 0;
  };
  static double value(Accumulator const& met) { return met.count; }
};

using Set = MetricSet<F1, RocAuc, Loss, AveragePrecision, Residues, PrecisionAtRecall<50>>;

TEST(Resampled, ComputesEveryMetricOfWhatWasDrawn) {
  constexpr auto groups = std::size_t{5};
  auto const options = Options{.class_weights = {.75, 5.5}};
  auto const data = proteins();
  auto group_of = std::vector<std::uint32_t>{};
  for (auto const& protein : data) group_of.push_back(protein.group);
  auto resampled = Resampled<Set>{group_of, groups, options};
  for (auto p = std::size_t{0}; p < data.size(); ++p) {
    resampled.add(static_cast<std::uint32_t>(p), data[p].logits, data[p].labels);
  }
  auto const drawing = BootstrapOptions{.seed = 9, .resamples = 40, .confidence = .9};
  auto const intervals = resampled.intervals(drawing);

  auto const kept = std::array<std::uint32_t, 4>{0, 1, 2, 4};
  auto const scores_of = [&](std::vector<std::uint32_t> const& times) {
    auto set = Set{options};
    for (auto p = std::size_t{0}; p < data.size(); ++p) {
      auto const place = std::ranges::find(kept, data[p].group) - kept.begin();
      if (place == std::ssize(kept)) continue;
      for (auto i = times[static_cast<std::size_t>(place)]; i > 0; --i) {
        set.add(static_cast<std::uint32_t>(p), data[p].logits, data[p].labels);
      }
    }
    return set.scores();
  };
  auto drawn = std::vector<Scores>{};
  for (auto i = 0u; i < drawing.resamples; ++i) {
    auto random =
        RandomSequence{{.seed = drawing.seed, .sample = i, .site = qlora::random_site::resampling}};
    drawn.push_back(scores_of(draw_times(random, kept.size())));
  }
  auto const whole = scores_of({1, 1, 1, 1});
  ASSERT_EQ(intervals.size(), whole.values.size());
  for (auto const& [name, interval] : intervals) {
    auto values = std::vector<double>{};
    for (auto const& scores : drawn) values.push_back(scores[name]);
    std::ranges::sort(values);
    EXPECT_NEAR(interval.estimate, whole[name], 1e-12) << name;
    EXPECT_NEAR(interval.low, quantile(values, .05), 1e-12) << name;
    EXPECT_NEAR(interval.high, quantile(values, .95), 1e-12) << name;
    EXPECT_LT(interval.low, interval.high) << name;
    EXPECT_EQ(interval.groups, 4u);
    EXPECT_EQ(interval.left_out, 1u);
    EXPECT_EQ(interval.seeds, 1u);
  }
}

TEST(Resampled, LeavesOutWhatIsNoNumber) {
  // One group has sites alone and one has none: a resample of either has no ROC curve.
  auto resampled = Resampled<RankingMetrics>{{0, 1}, 2};
  resampled.add(0, std::array{0.f, 1.f, 0.f, 2.f}, std::array{1, 1});
  resampled.add(1, std::array{0.f, 1.5f}, std::array{0});
  for (auto const& [name, interval] : resampled.intervals({.resamples = 50})) {
    if (name == "roc_auc") {
      EXPECT_EQ(interval.low, .5);
      EXPECT_EQ(interval.high, .5);
    }
  }
  auto alone = Resampled<RankingMetrics>{{0, 1}, 2};
  alone.add(0, std::array{0.f, 1.f, 0.f, 2.f}, std::array{1, 0});
  for (auto const& [name, interval] : alone.intervals()) {
    EXPECT_EQ(interval.doubt, Doubt::few_groups) << name;
    EXPECT_TRUE(std::isnan(interval.low)) << name;
    EXPECT_FALSE(std::isnan(interval.estimate)) << name;
  }
}

TEST(Resampled, RefusesWhatDoesNotFit) {
  auto resampled = Resampled<CardMetrics>{{0}, 1};
  EXPECT_THROW(resampled.add(0, std::array{0.f, 1.f}, std::array{1, 0}), ShapeError);
  EXPECT_THROW(resampled.add(1, std::array{0.f, 1.f}, std::array{1}), InputError);
  EXPECT_THROW(resampled.intervals({.resamples = 0}), InputError);
  struct Stop {};
  EXPECT_THROW(resampled.intervals({}, [] { throw Stop{}; }), Stop);
}

}  // namespace
}  // namespace qlora::metrics
