#include "comparison.hpp"

#include <cmath>
#include <cstdio>
#include <utility>

#include <qlora/metrics/epoch_history.hpp>
#include <qlora/report/published.hpp>
#include <qlora/report/table.hpp>

#include "numbers.hpp"
#include "over_runs.hpp"
#include "scores_table.hpp"
#include "spread.hpp"

namespace qlora::cli {
namespace {

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
    auto const precision = spread(of_metric(arm, "test", "average_precision"));
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

std::string groups_line(Comparison const& comparison) {
  auto const interval = report::level(comparison.arms.front().study());
  auto const groups =
      std::to_string(interval.groups) +
      (comparison.groups_file.empty()
           ? " proteins with sites and others (no groups.tsv: each is its own group)"
           : " groups with sites and others, of " + comparison.groups_file) +
      (interval.left_out > 0 ? " (" + std::to_string(interval.left_out) + " have one class only)"
                             : "");
  return "Test split, mean over " + groups + ", and " + std::to_string(interval.seeds) +
         (interval.seeds == 1 ? " seed" : " seeds") + ":\n";
}

}  // namespace

report::Table Comparison::rates_table() const {
  auto table = report::Table{{{"arm", report::Align::left},
                              {"learning rate"},
                              {"valid AP, mean over groups"},
                              {"choice", report::Align::left}}};
  for (auto const& [arm, rate, value, chosen] : rates) {
    table.add({arm, exact(rate), std::isnan(value) ? report::Cell{"diverged"} : report::Cell{value},
               chosen ? "chosen" : ""});
  }
  return table;
}

report::Table Comparison::decisions_table() const {
  auto columns = std::vector<report::Column>{{"decided on valid", report::Align::left}};
  for (auto const& metric : decided_metrics) columns.push_back({std::string{metric.heading}});
  auto table = report::Table{columns};
  for (auto const& arm : arms) {
    auto row = std::vector<report::Cell>{arm.arm.name};
    for (auto const& metric : decided_metrics) {
      auto const values = of_metric(arm, metric);
      if (values.empty()) return table;
      row.emplace_back(spread(values).mean);
    }
    table.add(std::move(row));
  }
  return table;
}

report::StudyArm ArmResults::study() const {
  auto study = report::StudyArm{arm.name, {}};
  for (auto const& run : runs) study.runs.push_back(*run.find_groups("test"));
  return study;
}

std::vector<report::StudyArm> Comparison::studies() const {
  auto result = std::vector<report::StudyArm>{};
  for (auto const& arm : arms) result.push_back(arm.study());
  for (auto const& [baseline, run] : baselines) {
    auto const scores = *run.find_groups("test");
    result.push_back({baseline, std::vector(arms.front().runs.size(), scores)});
  }
  return result;
}

std::string Comparison::baseline_names() const {
  auto names = std::string{};
  for (auto const& [name, result] : baselines) names += (names.empty() ? "" : ",") + name;
  return names.empty() ? "none" : names;
}

std::vector<report::Difference> Comparison::differences() const {
  auto result = std::vector<report::Difference>{};
  auto const all = studies();
  for (auto i = std::size_t{1}; i < all.size(); ++i) {
    result.push_back(report::difference(all[i], all.front(), {.margin = margin}));
  }
  return result;
}

std::optional<report::Difference> Comparison::null_difference() const {
  if (!null) return std::nullopt;
  auto study = null->study();
  study.name += ", other seeds";
  return report::difference(study, arms.front().study(), {.margin = margin});
}

std::vector<EqualLoss> Comparison::at_equal_loss() const {
  auto result = std::vector<EqualLoss>{};
  auto const& reference = arms.front();
  if (reference.runs.front().epochs.groups.empty()) return result;
  for (auto i = std::size_t{1}; i < arms.size(); ++i) {
    auto const& arm = arms[i];
    auto values = metrics::GroupTable<double>{};
    auto theirs = values;
    auto pair = EqualLoss{};
    auto const runs = static_cast<double>(arm.runs.size());
    for (auto s = std::size_t{0}; s < arm.runs.size(); ++s) {
      auto at = metrics::at_equal_loss(arm.runs[s].epochs, reference.runs[s].epochs);
      pair.level += at.level / runs;
      pair.arm_gap += (at.arm.held_out_loss - at.level) / runs;
      pair.reference_gap += (at.reference.held_out_loss - at.level) / runs;
      values.push_back(std::move(at.arm.groups));
      theirs.push_back(std::move(at.reference.groups));
    }
    pair.difference =
        report::difference(arm.arm.name, values, reference.arm.name, theirs, {.margin = margin});
    pair.difference.interval = pair.difference.interval.within(-1, 1);
    result.push_back(std::move(pair));
  }
  return result;
}

report::Table Comparison::metrics_table() const {
  auto columns =
      std::vector<report::Column>{{"arm", report::Align::left}, {"split", report::Align::left}};
  for (auto const name : table_metrics) columns.push_back({std::string{name}});
  auto table = report::Table{columns};
  for (auto const& arm : arms) {
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
  for (auto const& [baseline, result] : baselines) {
    auto const add = [&, &baseline = baseline](std::string const& split, auto&& value) {
      auto row = std::vector<report::Cell>{baseline, split};
      for (auto const name : table_metrics) {
        row.push_back(name == "loss" ? report::Cell{"-"} : report::Cell{value(name)});
      }
      table.add(std::move(row));
    };
    for (auto const& [split, scores] : result.scores) {
      add(split, [&, &scores = scores](std::string_view metric) { return scores[metric]; });
    }
    add("gap", [&, &result = result](std::string_view metric) {
      return (*result.find("train"))[metric] - (*result.find("test"))[metric];
    });
  }
  return table;
}

report::Table equal_loss_table(std::vector<EqualLoss> const& pairs) {
  auto table = report::Table{{{"at equal training loss", report::Align::left},
                              {"training loss"},
                              {"difference"},
                              {"95 % interval"},
                              {"verdict"},
                              {"arm's gap"},
                              {"reference's gap"}}};
  auto const known = [](double value) {
    return std::isnan(value) ? report::Cell{"-"} : report::Cell{value};
  };
  for (auto const& [difference, level, arm_gap, reference_gap] : pairs) {
    table.add({difference.arm + " - " + difference.reference, level, difference.estimate(),
               report::bounds(difference.interval, true), name(difference.verdict), known(arm_gap),
               known(reference_gap)});
  }
  return table;
}

std::string Comparison::text(report::Terminal const& terminal) const {
  auto text = rates.empty() ? std::string{} : rates_table().text(terminal) + "\n";
  text += metrics_table().text(terminal) + "\n";
  auto const decided = decisions_table();
  if (!decided.empty()) text += decided.text(terminal) + "\n";
  text += cost_table(*this).text(terminal) + "\n";
  text += groups_line(*this) + "\n" + report::level_table(studies()).text(terminal) + "\n";

  auto rows = differences();
  auto sentences = std::string{};
  for (auto const& row : rows) sentences += row.sentence() + "\n";
  if (auto const nothing = null_difference()) {
    sentences += "Where nothing differs, " + nothing->sentence() + "\n";
    rows.push_back(*nothing);
  }
  if (!rows.empty())
    text += report::difference_table(rows).text(terminal) + "\n" + sentences + "\n";
  if (auto const pairs = at_equal_loss(); !pairs.empty()) {
    text += equal_loss_table(pairs).text(terminal) + "\n";
  }
  if (published == Published::shown) text += report::published_table().text(terminal) + "\n";

  text +=
      "Intervals: 95 %, as if groups and seeds had been drawn from more of them. Gap: train minus "
      "test; at equal training loss,\ntest loss minus the loss on a sample of the training "
      "split after an epoch, and - where no epoch of an arm comes down\nto the other's loss. "
      "auc_card: the balanced accuracy that the card published as AUC. AP: average precision,\n"
      "all residues pooled. Seconds: a run with its metrics. Tokens/s: of training alone.\n";
  if (!decided.empty()) {
    text +=
        "Decided on valid: on the test split, by the thresholds (of MCC, of F1) and the "
        "calibration that each run chose\nthere.\n";
  }
  return text;
}

}  // namespace qlora::cli
