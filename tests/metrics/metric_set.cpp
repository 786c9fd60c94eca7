#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <qlora/core/error.hpp>
#include <qlora/metrics/metric_set.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;
using qlora::MetricSet;
using qlora::testing::message_of;

struct Case {
  nlohmann::json golden;
  std::vector<Prediction> predictions;
  Options options;
};

/// Predictions `i` of the formula in tests/parity/make_metrics.py.
Prediction formula(std::int64_t i) {
  auto const label = i * 16807 % 31 == 0 ? 1 : 0;
  auto const logit0 = static_cast<double>(i * 48271 % 2003 - 1001) / 256;
  auto const logit1 = static_cast<double>(i * 69621 % 1999 - 999) / 256 + 1.5 * label;
  return {
      .logit0 = static_cast<float>(logit0), .logit1 = static_cast<float>(logit1), .label = label};
}

std::vector<Case> read_cases() {
  auto file = std::ifstream{QLORA_TEST_DATA "/metrics.json"};
  auto const goldens = nlohmann::json::parse(file);
  auto cases = std::vector<Case>{};
  for (auto const& golden : goldens.at("cases")) {
    auto& added = cases.emplace_back(Case{.golden = golden, .predictions = {}, .options = {}});
    added.options.class_weights = golden.at("weights").get<std::array<double, 2>>();
    if (golden.contains("residues")) {
      for (std::int64_t i = 0; i < golden["residues"]; ++i) added.predictions.push_back(formula(i));
    } else {
      for (std::size_t i = 0; i < golden.at("labels").size(); ++i)
        added.predictions.push_back({.logit0 = golden["logits"][i][0],
                                     .logit1 = golden["logits"][i][1],
                                     .label = golden["labels"][i],
                                     .protein = static_cast<std::uint32_t>(i / 50)});
    }
  }
  return cases;
}

/// Values and counts are those of scikit-learn to 1e-12.
void expect_golden(Scores const& scores, nlohmann::json const& golden) {
  ASSERT_EQ(scores.values.size(), golden.at("values").size());
  for (auto const& [name, expected] : golden["values"].items()) {
    if (expected.is_null())
      EXPECT_TRUE(std::isnan(scores[name])) << name;
    else
      EXPECT_NEAR(scores[name], expected.get<double>(), 1e-12) << name;
  }
  auto const& counts = golden.at("confusion");
  EXPECT_EQ(
      scores.confusion,
      (Confusion{.tp = counts["tp"], .fp = counts["fp"], .tn = counts["tn"], .fn = counts["fn"]}));
}

TEST(MetricSet, AgreesWithScikitLearn) {
  auto const cases = read_cases();
  ASSERT_GE(cases.size(), 20u);
  for (auto const& [golden, predictions, options] : cases) {
    SCOPED_TRACE(golden.at("name"));
    auto metrics = Chosen{options};
    for (auto const& prediction : predictions) metrics.add(prediction);
    expect_golden(metrics.scores(), golden);
  }
}

TEST(MetricSet, MergesPartsInAnyOrder) {
  for (auto const& [golden, predictions, options] : read_cases()) {
    SCOPED_TRACE(golden.at("name"));
    auto parts = std::vector(7, Chosen{options});
    for (std::size_t i = 0; i < predictions.size(); ++i) parts[i * i % 7].add(predictions[i]);
    for (std::size_t part = 6; part > 0; --part) parts[part - 1].merge(parts[part]);
    expect_golden(parts[0].scores(), golden);
  }
}

TEST(MetricSet, GoesOnAfterScores) {
  auto metrics = Chosen{};
  metrics.add({.logit0 = 0, .logit1 = 1, .label = 1});
  metrics.add({.logit0 = 0, .logit1 = 2, .label = 0});
  EXPECT_EQ(metrics.scores().get<RocAuc>(), 0);
  metrics.add({.logit0 = 0, .logit1 = 3, .label = 1});
  EXPECT_EQ(metrics.scores().get<RocAuc>(), 0.5);
}

TEST(MetricSet, CountsLabelledResiduesAndTheirProteins) {
  auto metrics = MetricSet<Accuracy>{};
  auto const logits = std::vector<float>{0, 1, 0, 1, 1, 0};
  metrics.add(4, logits, std::vector<std::int8_t>{1, -1, 0});
  metrics.add(2, std::span{logits}.first(2), std::vector{0});
  metrics.add(4, std::span{logits}.last(2), std::vector{1});
  metrics.add(9, logits, std::vector{-1, -100, -1});
  auto const scores = metrics.scores();
  EXPECT_EQ(scores.confusion, (Confusion{.tp = 1, .fp = 1, .tn = 1, .fn = 1}));
  EXPECT_EQ(scores.residues(), 4u);
  EXPECT_EQ(scores.proteins, 2u);
  EXPECT_EQ(scores["accuracy"], 0.5);
}

struct SitesByProtein {
  int sites = 0, made = 0;
  explicit SitesByProtein(Options const& options)
      : made{static_cast<int>(options.class_weights[1])} {}
  void add(Prediction const& p) { sites += p.positive(); }
  void merge(SitesByProtein const& other) { sites += other.sites; }
};

struct Sites {
  static constexpr std::string_view name = "sites";
  using Accumulator = SitesByProtein;
  static double value(SitesByProtein const& a) { return a.sites; }
};

struct Made {
  static constexpr char const* name = "made";
  using Accumulator = SitesByProtein;
  static double value(SitesByProtein const& a) { return a.made; }
};

TEST(MetricSet, TakesAUsersMetric) {
  auto metrics = MetricSet<Sites, F1, Made>{{.class_weights = {1, 5}}};
  for (auto label : {1, 0, 1, -1}) metrics.add({.logit0 = 0, .logit1 = 1, .label = label});
  auto const scores = metrics.scores();
  EXPECT_EQ(scores.get<Sites>(), 2);
  EXPECT_EQ(scores.get<F1>(), 0.8);
  EXPECT_EQ(scores.get<Made>(), 5);
}

int accumulators_made = 0;

struct Counted {
  Counted() { ++accumulators_made; }
  void add(Prediction const&) {}
  void merge(Counted const&) {}
};

template <char Letter>
struct Shares {
  static constexpr char const name[] = {Letter, 0};
  using Accumulator = Counted;
  static double value(Counted const&) { return 0; }
};

TEST(MetricSet, MakesTheAccumulatorsItNeedsOnce) {
  using Set = MetricSet<Shares<'a'>, F1, Shares<'b'>, Shares<'c'>>;
  accumulators_made = 0;
  [[maybe_unused]] auto const all = Set{};
  EXPECT_EQ(accumulators_made, 1);
  [[maybe_unused]] auto const one = Set{{.names = "f1"}};
  EXPECT_EQ(accumulators_made, 1);
}

TEST(MetricSet, PicksByName) {
  auto metrics = Chosen{{.names = "roc_auc,f1"}};
  metrics.add({.logit0 = 0, .logit1 = 1, .label = 1});
  auto const scores = metrics.scores();
  ASSERT_EQ(scores.values.size(), 2u);
  EXPECT_EQ(scores.values[0].first, "f1");
  EXPECT_EQ(scores.values[1].first, "roc_auc");
  EXPECT_EQ(scores["f1"], 1);
}

TEST(MetricSet, PublishesTheCardsSevenNumbers) {
  auto const card = std::vector<std::string_view>{"loss", "accuracy", "precision", "recall",
                                                  "f1",   "auc_card", "mcc"};
  EXPECT_TRUE(std::ranges::equal(qlora::CardMetrics::names, card));
  static_assert(std::is_same_v<MetricSet<F1>::With<Mcc, RocAuc>, MetricSet<F1, Mcc, RocAuc>>);
}

TEST(MetricSet, RefusesWhatItCannotCount) {
  auto metrics = MetricSet<F1, Mcc>{};
  EXPECT_EQ(message_of<qlora::InputError>([&] { metrics.scores(); }),
            "metrics: expected at least one labelled residue, found none");
  EXPECT_EQ(message_of<qlora::InputError>(
                [&] { metrics.add({.logit0 = 0, .logit1 = 0, .label = 2, .protein = 3}); }),
            "metrics: protein 3: expected label 0, 1 or negative, found 2");
  EXPECT_EQ(message_of<qlora::ShapeError>([&] {
              metrics.add(8, std::vector<float>(5), std::vector{1, 0});
            }),
            "metrics: protein 8: expected 4 logits for 2 labels, found 5");
  auto const infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of<qlora::DivergedError>(
                [&] { metrics.add({.logit0 = 0, .logit1 = infinity, .label = 1}); }),
            "metrics: protein 0: expected finite logits, found 0.000000 and inf");
  EXPECT_EQ(message_of<qlora::InputError>([] { MetricSet<F1, Mcc>{{.names = "mcc,f2"}}; }),
            "metrics: expected one of f1 mcc, found \"f2\"");
}

}  // namespace
