#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/curves.hpp>

#include "support/errors.hpp"
#include "support/statistics.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::expect_all_close;
using qlora::testing::expect_close;
using qlora::testing::message_of;
using qlora::testing::number;
using qlora::testing::ranking_of;
using qlora::testing::statistics;

constexpr auto never = std::numeric_limits<float>::infinity();

TEST(Curves, AgreeWithScikitLearn) {
  ASSERT_GE(statistics().at("samples").size(), 12u);
  for (auto const& sample : statistics()["samples"]) {
    SCOPED_TRACE(sample.at("name"));
    auto const ranking = ranking_of(sample);
    auto const& golden = sample.at("curves");
    auto const roc = roc_curve(ranking);
    expect_all_close(roc.false_positive_rate, golden.at("false_positive_rate"));
    expect_all_close(roc.true_positive_rate, golden.at("true_positive_rate"));
    ASSERT_EQ(roc.thresholds.size(), golden.at("roc_thresholds").size());
    for (std::size_t i = 0; i < roc.thresholds.size(); ++i)
      EXPECT_EQ(roc.thresholds[i], number(golden["roc_thresholds"][i], never));
    auto const curve = precision_recall_curve(ranking);
    expect_all_close(curve.precision, golden.at("precision"));
    expect_all_close(curve.recall, golden.at("recall"));
    EXPECT_EQ(curve.thresholds, golden.at("thresholds").get<std::vector<float>>());
  }
}

void expect_point(OperatingPoint const& point, nlohmann::json const& golden) {
  EXPECT_EQ(point.threshold, number(golden[0], never));
  expect_close(point.value, number(golden[1]));
}

TEST(Thresholds, AreTheBestByScikitLearnsMetrics) {
  for (auto const& sample : statistics()["samples"]) {
    SCOPED_TRACE(sample.at("name"));
    auto const ranking = ranking_of(sample);
    auto const& golden = sample.at("curves");
    expect_point(best_threshold<F1>(ranking), golden.at("best").at("f1"));
    expect_point(best_threshold<Mcc>(ranking), golden.at("best").at("mcc"));
    for (auto const& [recall, point] : golden.at("precision_at_recall").items())
      expect_point(precision_at_recall(ranking, std::stod(recall)), point);
    EXPECT_EQ(precision_at_recall(ranking, 0.8).value, PrecisionAtRecall<80>::value(ranking));
  }
}

TEST(Thresholds, ApplyToAnotherSplit) {
  auto const valid = ranking_of({1, 1, 0, 0, 0}, {3, 1, 1, -1, -2});
  auto const chosen = best_threshold<F1>(valid);
  EXPECT_EQ(chosen.threshold, 1);
  EXPECT_EQ(chosen.confusion, (Confusion{.tp = 2, .fp = 1, .tn = 2}));
  auto const test = ranking_of({1, 1, 0, 0}, {1, 0.5f, 1, 0.9f});
  EXPECT_EQ(confusion_at(test, chosen.threshold), (Confusion{.tp = 1, .fp = 1, .tn = 1, .fn = 1}));
  EXPECT_EQ(confusion_at(test, never), (Confusion{.tn = 2, .fn = 2}));
  EXPECT_EQ(confusion_at(test, -never), (Confusion{.tp = 2, .fp = 2}));
}

TEST(Thresholds, OfEqualWorthAreTheHighest) {
  // Precision 1 at recall 1/2; F1 is 2/3 at thresholds 4 and 1.
  auto const ranking = ranking_of({1, 0, 0, 1}, {4, 3, 2, 1});
  EXPECT_EQ(best_threshold<F1>(ranking).threshold, 4);
  EXPECT_EQ(best_threshold<Accuracy>(ranking).threshold, 4);
  EXPECT_EQ(best_threshold<Specificity>(ranking).threshold, never);
}

TEST(Curves, RefuseWhatHasNoMeaning) {
  EXPECT_EQ(message_of<qlora::InputError>([] { roc_curve({}); }),
            "ROC curve: expected at least one labelled residue, found none");
  EXPECT_THROW(precision_recall_curve({}), qlora::InputError);
  EXPECT_THROW(best_threshold<F1>({}), qlora::InputError);
  EXPECT_EQ(message_of<qlora::InputError>([] { precision_at_recall({}, 0); }),
            "precision at recall: expected a recall above 0 and at most 1, found 0.000000");
  EXPECT_EQ(precision_at_recall({}, 1).threshold, never);
}

}  // namespace
