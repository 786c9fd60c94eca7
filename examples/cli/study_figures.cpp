#include "study_figures.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <qlora/metrics/distributions.hpp>
#include <qlora/metrics/groups.hpp>
#include <qlora/report/track.hpp>

#include "over_runs.hpp"
#include "spread.hpp"

namespace qlora::cli {
namespace {

using report::Axis;
using report::Chart;
using report::Point;
using Series = std::vector<std::pair<std::size_t, std::string>>;

std::string number(double value, char const* format = "%.4f") {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

Series arms_of(Comparison const& comparison) {
  auto series = Series{};
  for (auto const& arm : comparison.arms) series.emplace_back(series.size(), arm.arm.name);
  return series;
}

/// An interval of a mean over seeds needs three of them.
bool has_bands(Comparison const& comparison) {
  return comparison.arms.front().runs.size() >= 3;
}

/// Mean over runs at each place, and Student's 95 % interval of that mean where there are three
/// runs.
struct Averaged {
  std::vector<double> mean, low, high;
};
template <class Values>
Averaged averaged(ArmResults const& arm, Values&& values) {
  auto result = Averaged{};
  for (std::size_t i = 0; i < values(arm.runs.front()).size(); ++i) {
    auto const [mean, deviation] =
        spread(over_runs(arm, [&](RunResult const& run) { return values(run)[i]; }));
    auto const n = static_cast<double>(arm.runs.size());
    auto const half = n < 3 ? 0 : metrics::student_quantile(.975, n - 1) * deviation / std::sqrt(n);
    result.mean.push_back(mean);
    result.low.push_back(std::clamp(mean - half, 0., 1.));
    result.high.push_back(std::clamp(mean + half, 0., 1.));
  }
  return result;
}

std::vector<Point> points(std::vector<double> const& x, std::vector<double> const& y) {
  auto result = std::vector<Point>{};
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) result.push_back({x[i], y[i]});
  return result;
}

/// 0 to 1, as many places as curves have.
std::vector<double> grid() {
  auto places = std::vector<double>{};
  for (std::size_t i = 0; i < RunCurves::places; ++i) {
    places.push_back(RunCurves::place(i));
  }
  return places;
}

/// Rows `x` of every fifth place, a column an arm.
report::Table curve_numbers(Comparison const& comparison, std::string const& x,
                            std::vector<double> const& places,
                            std::vector<std::vector<double>> const& of_arm, std::size_t every) {
  auto columns = std::vector<report::Column>{{x}};
  for (auto const& arm : comparison.arms) columns.push_back({arm.arm.name});
  auto table = report::Table{columns};
  for (std::size_t i = 0; i < places.size(); i += every) {
    auto row = std::vector<report::Cell>{number(places[i], "%g")};
    for (auto const& values : of_arm) {
      row.push_back(i < values.size() ? report::Cell{values[i]} : report::Cell{"-"});
    }
    table.add(std::move(row));
  }
  return table;
}

}  // namespace

void add_loss_figures(report::Page& page, Comparison const& comparison) {
  auto const of_arms = [&](auto&& values) {
    auto all = std::vector<double>{};
    for (auto const& arm : comparison.arms) {
      for (auto const& run : arm.runs) {
        auto const own = values(run);
        all.insert(all.end(), own.begin(), own.end());
      }
    }
    return all;
  };
  auto const losses = [](RunResult const& run) { return run.curves.losses; };
  auto const steps = comparison.arms.front().runs.front().curves.steps;
  auto chart = Chart{"Training loss",
                     {.label = "step", .low = 0, .high = steps.empty() ? 1 : steps.back()},
                     report::axis_around("weighted cross entropy", of_arms(losses), 0)};
  auto means = std::vector<std::vector<double>>{};
  for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
    auto const& arm = comparison.arms[a];
    for (auto const& run : arm.runs)
      chart.line(a, points(run.curves.steps, run.curves.losses), true);
    auto mean = std::vector<double>{};
    for (std::size_t i = 0; i < losses(arm.runs.front()).size(); ++i) {
      mean.push_back(spread(over_runs(arm, [&](RunResult const& run) {
                       return i < run.curves.losses.size()
                                  ? run.curves.losses[i]
                                  : std::numeric_limits<double>::quiet_NaN();
                     })).mean);
    }
    chart.line(a, points(arm.runs.front().curves.steps, mean));
    means.push_back(std::move(mean));
  }
  page.figure(
      chart,
      "Of each step, before its update and under dropout; faint lines are single seeds, the "
      "others their means. Lower is better fitted, which is not the same as better.",
      arms_of(comparison),
      curve_numbers(comparison, "step", steps, means, std::max<std::size_t>(1, steps.size() / 10)));

  auto const by_epoch = [](RunResult const& run) {
    auto values = std::vector<double>{};
    for (auto const& groups : run.epochs.groups) {
      values.push_back(metrics::mean_over_groups(groups).mean);
    }
    return values;
  };
  auto const epochs = by_epoch(comparison.arms.front().runs.front()).size();
  if (epochs < 2) return;
  auto places = std::vector<double>{};
  for (std::size_t e = 1; e <= epochs; ++e) places.push_back(static_cast<double>(e));
  auto curves = std::vector<Averaged>{};
  auto bounds = std::vector<double>{};
  means.clear();
  for (auto const& arm : comparison.arms) {
    auto const& curve = curves.emplace_back(averaged(arm, by_epoch));
    bounds.insert(bounds.end(), curve.low.begin(), curve.low.end());
    bounds.insert(bounds.end(), curve.high.begin(), curve.high.end());
    means.push_back(curve.mean);
  }
  auto held_out =
      Chart{"Test average precision after each epoch",
            {.label = "epoch", .low = 1, .high = static_cast<double>(epochs), .whole = true},
            report::axis_around("average precision, mean over groups", bounds, 0)};
  for (std::size_t a = 0; a < curves.size(); ++a) {
    if (has_bands(comparison)) {
      held_out.band(a, points(places, curves[a].low), points(places, curves[a].high));
    }
    held_out.line(a, points(places, curves[a].mean));
  }
  page.figure(held_out,
              "Means over seeds; bands, where there are three seeds, are 95 % intervals of them. "
              "The test split chooses nothing "
              "here: arms are compared after the last epoch.",
              arms_of(comparison), curve_numbers(comparison, "epoch", places, means, 1));
}

void add_curve_figures(report::Page& page, Comparison const& comparison) {
  auto const places = grid();
  auto const add = [&](Chart chart, std::string const& x, std::string const& reading,
                       auto&& values) {
    auto means = std::vector<std::vector<double>>{};
    for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
      auto const curve = averaged(comparison.arms[a], values);
      if (has_bands(comparison)) {
        chart.band(a, points(places, curve.low), points(places, curve.high));
      }
      chart.line(a, points(places, curve.mean));
      means.push_back(curve.mean);
    }
    page.figure(chart, reading, arms_of(comparison),
                curve_numbers(comparison, x, places, means, 5));
  };
  auto const prevalence = spread(of_metric(comparison.arms.front(), "test", "prevalence")).mean;
  auto recall = Chart{"Precision and recall", {.label = "recall"}, {.label = "precision"}};
  recall.reference({0, prevalence}, {1, prevalence});
  add(std::move(recall), "recall",
      "All test residues pooled, means over seeds, with 95 % bands where there are three. The "
      "grey line is the share of "
      "sites, which guessing gives. With few sites this says more than the ROC curve.",
      [](RunResult const& run) { return run.curves.precision; });
  auto roc = Chart{"ROC", {.label = "false positive rate"}, {.label = "true positive rate"}};
  roc.reference({0, 0}, {1, 1});
  add(std::move(roc), "false positive rate",
      "All test residues pooled, means over seeds, with 95 % bands where there are three. The "
      "grey line is guessing.",
      [](RunResult const& run) { return run.curves.sensitivity; });

  auto calibration =
      Chart{"Calibration", {.label = "predicted probability"}, {.label = "share of sites"}};
  calibration.reference({0, 0}, {1, 1});
  auto numbers =
      report::Table{{{"arm", report::Align::left}, {"predicted"}, {"observed"}, {"residues"}}};
  for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
    auto const& arm = comparison.arms[a];
    auto line = std::vector<Point>{};
    for (auto const& [predicted, observed, residues] : arm.runs.front().curves.calibration) {
      constexpr auto few = 30;
      if (residues >= few) line.push_back({predicted, observed});
      calibration.dot(a, {predicted, observed},
                      arm.arm.name + ": predicted " + number(predicted) + ", observed " +
                          number(observed) + ", " + std::to_string(residues) + " residues",
                      1.5 + .75 * std::log10(static_cast<double>(residues)));
      numbers.add({arm.arm.name, predicted, observed, residues});
    }
    calibration.line(a, line);
  }
  page.figure(
      calibration,
      "Of each arm's first seed: residues in ten bins of calibrated probability. On the grey "
      "line a probability means what it says. The more residues a bin has, the larger its dot; "
      "those of fewer than 30, which stray, are joined to no others.",
      arms_of(comparison), numbers);
}

void add_group_figures(report::Page& page, Comparison const& comparison, Splits const& splits) {
  auto names = std::vector<std::string>{};
  for (auto const& arm : comparison.arms) names.push_back(arm.arm.name);
  auto const& group_names = splits.test_groups->names;
  auto chart = Chart{
      "Groups of the test split", {.label = "average precision"}, {.label = "", .names = names}};
  auto columns = std::vector<report::Column>{{"group", report::Align::left}};
  for (auto const& name : names) columns.push_back({name});
  auto numbers = report::Table{columns};
  for (std::size_t g = 0; g < group_names.size(); ++g) {
    auto row = std::vector<report::Cell>{group_names[g]};
    for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
      auto const mean = spread(over_runs(comparison.arms[a], [&](RunResult const& run) {
                          return run.find_groups("test")->average_precision[g];
                        })).mean;
      chart.dot(a, {mean, report::in_row(a, g)},
                group_names[g] + ", " + names[a] + ": " + number(mean), 3.5);
      row.push_back(std::isnan(mean) ? report::Cell{"one class"} : report::Cell{mean});
    }
    numbers.add(std::move(row));
  }
  for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
    auto const mean = spread(over_runs(comparison.arms[a], [](RunResult const& run) {
                        return run.find_groups("test")->mean_average_precision();
                      })).mean;
    auto const row = static_cast<double>(a);
    chart.whisker(a, {mean, row + .1}, {mean, row + .9});
  }
  page.figure(
      chart,
      "A dot is a group of related proteins, its average precision a mean over seeds; the bar "
      "is the mean over groups, which the study compares. Groups may differ more than arms do.",
      {}, numbers);

  auto gap = Chart{"Train and test",
                   {.label = "average precision, all residues pooled"},
                   {.label = "", .names = names}};
  auto gaps = report::Table{{{"arm", report::Align::left}, {"train"}, {"test"}, {"gap"}}};
  for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
    auto const mean = [&](char const* split) {
      return spread(of_metric(comparison.arms[a], split, "average_precision")).mean;
    };
    auto const train = mean("train"), test = mean("test");
    auto const row = static_cast<double>(a) + .5;
    gap.whisker(a, {test, row}, {train, row});
    gap.dot(a, {test, row}, names[a] + ", test: " + number(test), 5);
    gap.dot(a, {train, row}, names[a] + ", train: " + number(train), 3);
    gaps.add({names[a], train, test, train - test});
  }
  page.figure(
      gap,
      "The large dot is the test split, the small one the training split, and the bar between "
      "them what the model card reads as overfitting. Compare it at equal training loss, too.",
      {}, gaps);
}

void add_difference_figure(report::Page& page, Comparison const& comparison) {
  auto rows = comparison.differences();
  rows.resize(comparison.arms.size() - 1);  // without baselines, which are far away
  if (auto const nothing = comparison.null_difference()) rows.push_back(*nothing);
  if (rows.empty()) return;
  auto names = std::vector<std::string>{};
  auto reach = comparison.margin;
  for (auto const& row : rows) {
    names.push_back(row.arm);
    for (auto const bound : {row.interval.low, row.interval.high, row.interval.estimate}) {
      if (!std::isnan(bound)) reach = std::max(reach, std::abs(bound));
    }
  }
  reach = std::min(1.08 * reach, 1.);  // as far as average precisions can differ
  auto chart = Chart{"Differences from " + comparison.arms.front().arm.name,
                     {.label = "difference in average precision", .low = -reach, .high = reach},
                     {.label = "", .names = names}};
  auto const count = static_cast<double>(rows.size());
  chart.reference({0, 0}, {0, count});
  chart.reference({-comparison.margin, 0}, {-comparison.margin, count});
  chart.reference({comparison.margin, 0}, {comparison.margin, count});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto const& [estimate, low, high, seeds, groups, left_out, doubt] = rows[i].interval;
    auto const row = static_cast<double>(i) + .5;
    auto const series = i + 1 < comparison.arms.size() ? i + 1 : report::neutral_series;
    chart.whisker(series, {low, row}, {high, row});
    chart.dot(series, {estimate, row}, rows[i].sentence());
  }
  page.figure(
      chart,
      "Paired by seed and group, with 95 % intervals. Right of the middle line is better, left of "
      "it worse; wholly between the outer lines, the margin, is equivalent." +
          std::string{comparison.null ? " The last row is the first arm against itself with other "
                                        "seeds, not paired by them: one draw of what is found "
                                        "where nothing differs."
                                      : ""} +
          (comparison.baselines.empty() ? "" : " Methods without a network are in the table."),
      {}, report::difference_table(rows));
}

void add_cost_figures(report::Page& page, Comparison const& comparison) {
  auto const precision = [&](ArmResults const& arm) {
    return spread(over_runs(arm,
                            [](RunResult const& run) {
                              return run.find_groups("test")->mean_average_precision();
                            }))
        .mean;
  };
  auto const add = [&](std::string const& title, std::string const& label,
                       std::function<double(RunResult const&)> const& cost) {
    auto x = std::vector<double>{0.}, y = std::vector<double>{};
    auto numbers = report::Table{
        {{"arm", report::Align::left}, {.header = label, .precision = 1}, {"average precision"}}};
    for (auto const& arm : comparison.arms) {
      x.push_back(spread(over_runs(arm, cost)).mean);
      y.push_back(precision(arm));
      numbers.add({arm.arm.name, x.back(), y.back()});
    }
    auto chart = Chart{title, report::axis_around(label, x, 0),
                       report::axis_around("average precision, mean over groups", y, 0)};
    for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
      auto const& name = comparison.arms[a].arm.name;
      chart.dot(a, {x[a + 1], y[a]}, name + ": " + number(x[a + 1], "%g") + ", " + number(y[a]), 6);
    }
    page.figure(chart, "Means over seeds; up and to the left is better.", arms_of(comparison),
                numbers);
  };
  add("What a run takes: time", "seconds, with metrics",
      [](RunResult const& run) { return run.total_seconds; });
  add("What a run takes: memory", "peak memory, MB",
      [](RunResult const& run) { return static_cast<double>(run.peak_bytes) / 1e6; });
  add("What a run takes: parameters", "trained parameters",
      [](RunResult const& run) { return static_cast<double>(run.trainable_parameters); });
}

void add_tracks(report::Page& page, Comparison const& comparison, Splits const& splits) {
  auto const& proteins = splits.test->proteins;
  auto const shown = shown_proteins(proteins);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    auto const& protein = proteins[shown[i]];
    auto track = report::Track{protein};
    for (std::size_t a = 0; a < comparison.arms.size(); ++a) {
      auto const& arm = comparison.arms[a];
      track.add(
          a, arm.arm.name,
          averaged(
              arm, [&](RunResult const& run) -> auto const& { return run.curves.tracks.at(i); })
              .mean);
    }
    page.raw("<h3>" + report::escaped_html(protein.id) +
             "</h3><div class=\"scroll\" tabindex=\"0\">" + track.svg() + "</div>");
  }
}

}  // namespace qlora::cli
