#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/metrics/group_scores.hpp>
#include <qlora/report/published.hpp>
#include <qlora/report/study.hpp>

#include "comparison.hpp"
#include "over_runs.hpp"
#include "spread.hpp"

namespace qlora::cli {
namespace {

OrderedJson runs_json(ArmResults const& arm) {
  auto runs = OrderedJson::array();
  for (auto i = std::size_t{0}; i < arm.runs.size(); ++i) {
    auto const& run = arm.runs[i];
    runs.push_back({{"seed", arm.seeds[i]},
                    {"folder", arm.arm.folder() + "/seed-" + std::to_string(arm.seeds[i])},
                    {"metrics", run.metrics},
                    {"steps", run.steps},
                    {"skipped_steps", run.skipped_steps},
                    {"tokens", run.tokens},
                    {"training_seconds", run.training_seconds},
                    {"total_seconds", run.total_seconds},
                    {"peak_memory_bytes", run.peak_bytes}});
  }
  return runs;
}

OrderedJson summary_json(ArmResults const& arm) {
  auto summary = OrderedJson::object();
  auto const add = [&](std::string const& split, std::string_view metric,
                       std::vector<double> const& values) {
    auto const [mean, deviation] = spread(values);
    summary[split][std::string{metric}] = {{"mean", mean}, {"deviation", deviation}};
  };
  for (auto const& [split, scores] : arm.runs.front().scores) {
    for (auto const& [metric, value] : scores.values) {
      add(split, metric, of_metric(arm, split, metric));
    }
  }
  for (auto const& metric : decided_metrics) {
    if (auto const values = of_metric(arm, metric); !values.empty())
      add("test", metric.name, values);
  }
  for (auto const& [metric, value] : arm.runs.front().scores.front().second.values) {
    add("gap", metric, gap(arm, metric));
  }
  return summary;
}

/// What the study is about: means over groups of the test split.
OrderedJson endpoints_json(report::StudyArm const& arm) {
  auto const at_recall = "precision_at_recall_" + std::to_string(metrics::fixed_recall_percent);
  auto const values = &metrics::GroupScores::precision_at_recall;
  auto const& groups = arm.runs.front().confusion;
  return {{"average_precision", report::interval_json<OrderedJson>(report::level(arm))},
          {at_recall, report::interval_json<OrderedJson>(report::level(arm, values))},
          {"random_order", metrics::mean_where_both_classes<metrics::RandomOrder>(groups)},
          {"prevalence", metrics::mean_where_both_classes<metrics::Prevalence>(groups)}};
}

}  // namespace

OrderedJson Comparison::json() const {
  auto document =
      OrderedJson{{"seeds", arms.front().seeds},
                  {"groups", groups_file.empty() ? OrderedJson{} : OrderedJson(groups_file)},
                  {"endpoint", report::primary_endpoint},
                  {"split", "test"},
                  {"margin", margin},
                  {"arms", OrderedJson::array()}};
  for (auto const& arm : arms) {
    document["arms"].push_back({{"name", arm.arm.name},
                                {"placement", arm.arm.placement},
                                {"trainable_parameters", arm.runs.front().trainable_parameters},
                                {"by_group", endpoints_json(arm.study())},
                                {"summary", summary_json(arm)},
                                {"runs", runs_json(arm)}});
  }
  document["learning_rates"] = OrderedJson::array();
  for (auto const& [arm, rate, value, chosen] : rates) {
    document["learning_rates"].push_back(
        {{"arm", arm}, {"lr", rate}, {"valid_average_precision", value}, {"chosen", chosen}});
  }
  auto const all = studies();
  document["baselines"] = OrderedJson::array();
  for (auto i = std::size_t{0}; i < baselines.size(); ++i) {
    document["baselines"].push_back({{"name", baselines[i].first},
                                     {"by_group", endpoints_json(all[arms.size() + i])},
                                     {"metrics", baselines[i].second.metrics}});
  }
  auto differences_json = OrderedJson::array();
  for (auto const& one : differences()) {
    differences_json.push_back(report::difference_json<OrderedJson>(one));
  }
  document["differences"] = std::move(differences_json);
  if (auto const nothing = null_difference()) {
    document["null"] = report::difference_json<OrderedJson>(*nothing);
    document["null"]["seeds"] = null->seeds;
    document["null"]["runs"] = runs_json(*null);
  }
  auto equal = OrderedJson::array();
  for (auto const& [difference, level, arm_gap, reference_gap] : at_equal_loss()) {
    auto row = report::difference_json<OrderedJson>(difference);
    row["training_loss"] = level;
    row["gap"] = arm_gap;
    row["gap_of_reference"] = reference_gap;
    equal.push_back(std::move(row));
  }
  document["at_equal_training_loss"] = std::move(equal);
  document["published"] = report::published_json<OrderedJson>();
  return document;
}

}  // namespace qlora::cli
