/// A study as reviewers read it: each arm's level and each arm against a reference, over groups and
/// seeds, as tables and as sentences.
///
///     auto const qkv = report::StudyArm{"qkv", scores_of_qkv};  // a metrics::GroupScores a seed
///     auto const all = report::StudyArm{"all", scores_of_all};
///     auto const difference = report::difference(all, qkv, {.margin = 0.02});
///     std::cout << report::level_table(std::array{qkv, all}).text() << difference.sentence();
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/metrics/crossed.hpp>
#include <qlora/metrics/estimand.hpp>
#include <qlora/metrics/group_scores.hpp>
#include <qlora/metrics/interval.hpp>
#include <qlora/report/table.hpp>

namespace qlora::inline v1::report {

/// The primary endpoint: average precision in each group, averaged with equal weights.
inline constexpr std::string_view primary_endpoint = "average precision, mean over groups";

/// What the runs of an arm left of each group. A method without chance has the same row for every
/// seed.
struct StudyArm {
  std::string name;
  std::vector<metrics::GroupScores> runs;  // (seeds)
};

/// One of a run's numbers by group, for every run: (seeds, groups).
inline metrics::GroupTable<double> group_table(StudyArm const& arm,
                                               std::vector<double> metrics::GroupScores::*values) {
  auto table = metrics::GroupTable<double>{};
  for (auto const& run : arm.runs) table.push_back(run.*values);
  return table;
}

/// Of an arm's mean over groups and seeds, from 0 to 1 as the numbers are. Throws ShapeError for an
/// arm without runs.
inline metrics::Interval level(
    StudyArm const& arm,
    std::vector<double> metrics::GroupScores::*values = &metrics::GroupScores::average_precision) {
  auto const estimand = metrics::Estimand<metrics::MeanOverGroups>{group_table(arm, values)};
  return metrics::student_interval(estimand).within(0, 1);
}

/// "[0.4120, 0.5011]", or "-" where there is no interval.
inline std::string bounds(metrics::Interval const& interval, bool with_sign = false) {
  if (std::isnan(interval.low) || std::isnan(interval.high)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, with_sign ? "[%+.4f, %+.4f]" : "[%.4f, %.4f]", interval.low,
                interval.high);
  return text;
}

/// An arm minus a reference, and what follows from it.
struct Difference {
  std::string arm, reference;
  metrics::Interval interval;
  std::vector<double> by_seed;  // (seeds)
  double margin = 0;
  metrics::Verdict verdict = metrics::Verdict::undecided;

  /// "+0.0123", or "-" where it is not a number.
  std::string estimate() const {
    if (std::isnan(interval.estimate)) return "-";
    char text[32];
    std::snprintf(text, sizeof text, "%+.4f", interval.estimate);
    return text;
  }
  /// What may be said, in one line.
  std::string sentence(std::string_view of = "average precision") const {
    char margin_text[32];
    std::snprintf(margin_text, sizeof margin_text, "%g", margin);
    auto text = arm + " against " + reference + ": ";
    switch (verdict) {
      case metrics::Verdict::better:
      case metrics::Verdict::worse:
        text += std::string{name(verdict)} + " by " + estimate().substr(1);
        break;
      case metrics::Verdict::equivalent:
        text += std::string{"equivalent: they differ by less than "} + margin_text;
        break;
      case metrics::Verdict::undecided:
        text += "undecided: ";
        text += interval.doubt != metrics::Doubt::none
                    ? std::string{metrics::reason(interval.doubt)}
                    : std::string{"neither a difference nor equality within "} + margin_text +
                          " is shown";
        break;
    }
    return text + " (" + std::string{of} + ", " + std::to_string(interval.groups) + " groups, " +
           std::to_string(interval.seeds) + (interval.seeds == 1 ? " seed)" : " seeds)");
  }
};

/// How a verdict stands out.
constexpr Style style(metrics::Verdict verdict) {
  using metrics::Verdict;
  return verdict == Verdict::better  ? Style::good
         : verdict == Verdict::worse ? Style::bad
                                     : Style::plain;
}

struct DifferenceOptions {
  double margin = .02;  ///< the smallest difference that would matter, chosen before the runs
};

/// Of two tables (seeds, groups), runs paired in order. Throws ShapeError where they do not fit,
/// InputError for a negative margin.
inline Difference difference(std::string arm, metrics::GroupTable<double> const& values,
                             std::string reference,
                             metrics::GroupTable<double> const& reference_values,
                             DifferenceOptions const& options = {}) {
  auto const estimand = metrics::Estimand<metrics::MeanOverGroups>{values, reference_values};
  auto result = Difference{.arm = std::move(arm),
                           .reference = std::move(reference),
                           .interval = metrics::student_interval(estimand),
                           .by_seed = estimand.by_seed(),
                           .margin = options.margin};
  result.verdict = metrics::verdict(result.interval, options.margin);
  return result;
}
/// Of the primary endpoint, which is from 0 to 1.
inline Difference difference(StudyArm const& arm, StudyArm const& reference,
                             DifferenceOptions const& options = {}) {
  constexpr auto values = &metrics::GroupScores::average_precision;
  auto result = difference(arm.name, group_table(arm, values), reference.name,
                           group_table(reference, values), options);
  result.interval = result.interval.within(-1, 1);
  return result;
}

/// A row an arm, and of the same groups what an order by chance gives, and the prevalence.
inline Table level_table(std::span<StudyArm const> arms) {
  auto const recall = "precision at recall ." + std::to_string(metrics::fixed_recall_percent / 10);
  auto table = Table{{{"arm", Align::left},
                      {"average precision"},
                      {"95 % interval"},
                      {recall},
                      {"95 % interval"}}};
  for (auto const& arm : arms) {
    auto const precision = level(arm);
    auto const at_recall = level(arm, &metrics::GroupScores::precision_at_recall);
    table.add(
        {arm.name, precision.estimate, bounds(precision), at_recall.estimate, bounds(at_recall)});
  }
  if (!arms.empty() && !arms.front().runs.empty()) {
    auto const& groups = arms.front().runs.front().confusion;
    auto const prevalence = metrics::mean_where_both_classes<metrics::Prevalence>(groups);
    table.add({"random order", metrics::mean_where_both_classes<metrics::RandomOrder>(groups), "",
               "", ""});
    table.add({"prevalence", prevalence, "", prevalence, ""});
  }
  return table;
}

/// A row a difference.
inline Table difference_table(std::span<Difference const> differences) {
  auto table =
      Table{{{"arm - reference", Align::left}, {"difference"}, {"95 % interval"}, {"verdict"}}};
  for (auto const& one : differences) {
    table.add({one.arm + " - " + one.reference, one.estimate(), bounds(one.interval, true),
               Cell{std::string{name(one.verdict)}, style(one.verdict)}});
  }
  return table;
}

/// Keys `mean`, `interval`, `seeds`, `groups`, `left_out` and, if there is one, `doubt`.
template <class Json>
Json interval_json(metrics::Interval const& interval) {
  auto json = Json{{"mean", interval.estimate},
                   {"interval", {interval.low, interval.high}},
                   {"seeds", interval.seeds},
                   {"groups", interval.groups},
                   {"left_out", interval.left_out}};
  if (interval.doubt != metrics::Doubt::none) json["doubt"] = metrics::reason(interval.doubt);
  return json;
}

/// As interval_json, with `arm`, `against`, `by_seed`, `margin` and `verdict`.
template <class Json>
Json difference_json(Difference const& difference) {
  auto json = interval_json<Json>(difference.interval);
  json["arm"] = difference.arm;
  json["against"] = difference.reference;
  json["by_seed"] = difference.by_seed;
  json["margin"] = difference.margin;
  json["verdict"] = name(difference.verdict);
  return json;
}

}  // namespace qlora::inline v1::report
