#include "comparison.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include <qlora/report/table.hpp>

#include "scores_table.hpp"
#include "spread.hpp"

namespace qlora::cli {
namespace {

constexpr auto primary = "average_precision";

/// `value(run)` of every run.
template <class Value>
std::vector<double> over_runs(ArmResults const& arm, Value&& value) {
  auto values = std::vector<double>{};
  for (auto const& run : arm.runs) values.push_back(static_cast<double>(value(run)));
  return values;
}

std::vector<double> of_metric(ArmResults const& arm, std::string const& split,
                              std::string_view metric) {
  return over_runs(arm, [&](RunResult const& run) { return (*run.find(split))[metric]; });
}

/// Train minus test: positive where training looks better, and negative of a loss.
std::vector<double> gap(ArmResults const& arm, std::string_view metric) {
  return over_runs(arm, [&](RunResult const& run) {
    return (*run.find("train"))[metric] - (*run.find("test"))[metric];
  });
}

std::vector<double> difference(ArmResults const& arm, ArmResults const& reference) {
  auto values = of_metric(arm, "test", primary);
  auto const theirs = of_metric(reference, "test", primary);
  std::ranges::transform(values, theirs, values.begin(), std::minus{});
  return values;
}

report::Table metrics_table(Comparison const& comparison) {
  auto columns =
      std::vector<report::Column>{{"arm", report::Align::left}, {"split", report::Align::left}};
  for (auto const name : table_metrics) columns.push_back({std::string{name}});
  auto table = report::Table{columns};
  for (auto const& arm : comparison.arms) {
    auto const add = [&](std::string const& split, auto&& values) {
      auto row = std::vector<report::Cell>{arm.arm.name, split};
      for (auto const name : table_metrics) row.emplace_back(spread(values(name)).mean);
      table.add(std::move(row));
    };
    for (auto const& [split, scores] : arm.runs.front().scores) {
      add(split,
          [&, &split = split](std::string_view metric) { return of_metric(arm, split, metric); });
    }
    add("gap", [&](std::string_view metric) { return gap(arm, metric); });
  }
  return table;
}

report::Table cost_table(Comparison const& comparison) {
  auto table = report::Table{{{"arm", report::Align::left},
                              {"trained parameters"},
                              {"seconds"},
                              {"tokens/s"},
                              {"peak memory, MB"},  // of the device where there is one
                              {"test AP"},
                              {"sd over seeds"}}};
  for (auto const& arm : comparison.arms) {
    auto const rounded = [&](auto&& value) {
      return std::llround(spread(over_runs(arm, value)).mean);
    };
    auto const precision = spread(of_metric(arm, "test", primary));
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f",
                  spread(over_runs(arm, [](auto const& run) { return run.total_seconds; })).mean);
    table.add({arm.arm.name, arm.runs.front().trainable_parameters, seconds,
               rounded([](auto const& run) { return run.tokens_per_second(); }),
               rounded([](auto const& run) { return static_cast<double>(run.peak_bytes) / 1e6; }),
               precision.mean,
               arm.runs.size() > 1 ? report::Cell{precision.deviation} : report::Cell{"-"}});
  }
  return table;
}

/// Student's t that 95 % of samples stay within, by degrees of freedom.
double student_t(std::size_t freedom) {
  constexpr auto table =
      std::array{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                 2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                 2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  return table[std::min(freedom, table.size()) - 1];
}

/// Half the width of the 95 % interval of a mean; NaN for a single value.
double half_width(std::vector<double> const& values) {
  if (values.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  return student_t(values.size() - 1) * spread(values).deviation /
         std::sqrt(static_cast<double>(values.size()));
}

/// Each arm against the first, with the 95 % interval that the seeds give.
std::string verdicts(Comparison const& comparison) {
  auto text = std::string{};
  auto const& reference = comparison.arms.front();
  for (auto i = std::size_t{1}; i < comparison.arms.size(); ++i) {
    auto const values = difference(comparison.arms[i], reference);
    auto const mean = spread(values).mean;
    auto const half = half_width(values);
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, "%+.4f", mean);
    text += comparison.arms[i].arm.name + " - " + reference.arm.name +
            ", test average precision: " + numbers;
    if (values.size() < 2) {
      text += " (one seed: nothing to judge it by)\n";
      continue;
    }
    std::snprintf(numbers, sizeof numbers, " [%+.4f, %+.4f]: ", mean - half, mean + half);
    text += numbers;
    text += std::abs(mean) <= half ? "within the noise of seeds\n" : "beyond the noise of seeds\n";
  }
  return text;
}

}  // namespace

std::string Comparison::text(std::size_t width) const {
  auto const of_seeds = seeds.size() == 1
                            ? std::string{"One seed."}
                            : "Means of " + std::to_string(seeds.size()) +
                                  " seeds; in brackets the 95 % confidence interval of the mean "
                                  "difference over seeds, on these proteins.\nOther families would "
                                  "move the numbers too: that is "
                                  "not in the brackets.";
  return metrics_table(*this).text(width) + "\n" + cost_table(*this).text(width) + "\n" +
         verdicts(*this) + "\n" + of_seeds +
         "\nGap: train minus test. auc_card: the balanced accuracy that the card published as AUC. "
         "AP: average precision.\nSeconds: a run with its metrics. Tokens/s: of training alone.\n";
}

OrderedJson Comparison::json() const {
  auto document = OrderedJson{{"seeds", seeds}, {"arms", OrderedJson::array()}};
  for (auto const& arm : arms) {
    auto runs = OrderedJson::array();
    for (auto i = std::size_t{0}; i < arm.runs.size(); ++i) {
      auto const& run = arm.runs[i];
      auto metrics = OrderedJson::object();
      for (auto const& [split, scores] : run.scores) metrics[split] = scores;
      runs.push_back({{"seed", seeds[i]},
                      {"folder", arm.arm.folder() + "/seed-" + std::to_string(seeds[i])},
                      {"metrics", std::move(metrics)},
                      {"steps", run.steps},
                      {"skipped_steps", run.skipped_steps},
                      {"tokens", run.tokens},
                      {"training_seconds", run.training_seconds},
                      {"total_seconds", run.total_seconds},
                      {"peak_memory_bytes", run.peak_bytes}});
    }
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
    for (auto const& [metric, value] : arm.runs.front().scores.front().second.values) {
      add("gap", metric, gap(arm, metric));
    }
    document["arms"].push_back({{"name", arm.arm.name},
                                {"placement", arm.arm.placement},
                                {"trainable_parameters", arm.runs.front().trainable_parameters},
                                {"summary", std::move(summary)},
                                {"runs", std::move(runs)}});
  }
  auto differences = OrderedJson::array();
  for (auto i = std::size_t{1}; i < arms.size(); ++i) {
    auto const values = difference(arms[i], arms.front());
    auto const mean = spread(values).mean;
    auto const half = half_width(values);
    differences.push_back({{"arm", arms[i].arm.name},
                           {"against", arms.front().arm.name},
                           {"metric", primary},
                           {"split", "test"},
                           {"by_seed", values},
                           {"mean", mean},
                           {"interval", {mean - half, mean + half}}});
  }
  document["differences"] = std::move(differences);
  return document;
}

}  // namespace qlora::cli
