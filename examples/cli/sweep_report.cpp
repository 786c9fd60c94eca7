#include "sweep_report.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <qlora/report/chart.hpp>
#include <qlora/report/page.hpp>

#include "numbers.hpp"
#include "sweep_effects.hpp"

namespace qlora::cli {
namespace {

using report::Cell;
using report::Chart;

std::string rounded(double value) {
  return Cell{value}.rounded(4);
}

/// "trial 3 (qkv, 0.01): 0.5110"
std::string described(SweepResults const& results, std::size_t place) {
  auto const& trial = results.trials[place];
  auto values = std::string{};
  for (auto const& value : trial.settings) values += (values.empty() ? "" : ", ") + value;
  return "trial " + std::to_string(place + 1) + " (" + values +
         "): " + rounded(trial.metric().mean);
}

std::vector<double> values_of(SweepResults const& results) {
  auto values = std::vector<double>{};
  for (auto const& trial : results.trials) {
    for (auto const& run : trial.runs) values.push_back(run.value);
  }
  return values;
}

void add_ranking_figure(report::Page& page, SweepResults const& results,
                        std::vector<std::size_t> const& order) {
  auto chart = Chart{
      "Trials, the best first",
      {.label = "rank", .low = 0, .high = static_cast<double>(order.size()) + 1, .whole = true},
      report::axis_around(results.space.metric, values_of(results))};
  for (auto i = std::size_t{0}; i < order.size(); ++i) {
    auto const& trial = results.trials[order[i]];
    auto const rank = static_cast<double>(i) + 1;
    if (trial.diverged()) continue;
    auto const [mean, deviation] = trial.metric();
    chart.whisker(0, {rank, mean - deviation}, {rank, mean + deviation});
    chart.dot(0, {rank, mean}, described(results, order[i]));
  }
  page.figure(chart,
              "A dot is a trial's mean over seeds, its bar a standard deviation to either side, "
              "where there are seeds. The best of many trials is best by luck, too: seeds of its "
              "own would bring it nearer to the others.",
              {}, results.table(order));
}

/// How much of the variance each factor explains, beside what one that does nothing would.
void add_share_figure(report::Page& page, SweepEffects const& effects) {
  auto const order = effects.by_share();
  if (order.empty() || !(effects.effects.total > 0.)) return;
  auto names = std::vector<std::string>{};
  for (auto const f : order) names.push_back(effects.levels[f].name);
  auto chart = Chart{"What decides",
                     {.label = "share of the variance", .low = 0, .high = 1},
                     {.label = "", .names = names}};
  for (auto i = std::size_t{0}; i < order.size(); ++i) {
    auto const& effect = effects.effects.factors[order[i]];
    auto const share = effects.effects.share(effect.squares);
    auto const chance = effects.effects.by_chance(effect);
    auto const row = static_cast<double>(i) + .5;
    chart.whisker(0, {0, row}, {share, row});
    chart.dot(0, {share, row}, names[i] + ": " + rounded(share));
    chart.dot(report::neutral_series, {chance, row}, names[i] + ", by chance: " + rounded(chance),
              3);
  }
  page.figure(chart,
              "Of the variance over all runs, the part between the means of a factor's values. The "
              "small grey dot is what a factor that does nothing is expected to show.",
              {}, effects.table());
}

/// The metric at each value of a factor, or along its range.
void add_factor_figure(report::Page& page, SweepResults const& results, SweepEffects const& effects,
                       std::size_t f) {
  auto const& factor = results.space.factors[f];
  auto const& levels = effects.levels[f];
  auto const& effect = effects.effects.factors[f];
  auto const is_log = factor.range && factor.range->scale == Factor::Scale::log;
  auto const metric = report::axis_around(results.space.metric, values_of(results));
  auto const at = [&](double value) { return is_log ? std::log10(value) : value; };
  auto chart = factor.range ? Chart{factor.name,
                                    {.label = factor.name + (is_log ? ", log10" : ""),
                                     .low = at(factor.range->low),
                                     .high = at(factor.range->high)},
                                    metric}
                            : Chart{factor.name, metric, {.label = "", .names = factor.values}};
  auto numbers = report::Table{
      {{factor.name, report::Align::left}, {"mean of " + results.space.metric}, {"runs"}}};
  for (auto i = std::size_t{0}; i < levels.labels.size(); ++i) {
    numbers.add({levels.labels[i], effect.means[i], effect.counts[i]});
    if (factor.range || effect.counts[i] == 0) continue;
    auto const row = static_cast<double>(i);
    chart.whisker(0, {effect.means[i], row + .1}, {effect.means[i], row + .9});
  }
  auto counted = std::size_t{0};  // among the trials that did not diverge
  for (auto place = std::size_t{0}; place < results.trials.size(); ++place) {
    auto const& trial = results.trials[place];
    if (trial.diverged()) continue;
    auto const mean = trial.metric().mean;
    auto const level = levels.of_trial[counted++];
    auto const point = factor.range
                           ? report::Point{at(*parse_number<double>(trial.settings[f])), mean}
                           : report::Point{mean, report::in_row(level, place)};
    chart.dot(0, point, described(results, place), 3.5);
  }
  page.figure(chart,
              factor.range ? "A dot is a trial. The numbers below are of bins of the range."
                           : "A dot is a trial, a bar the mean of a value's runs. A factor whose "
                             "bars stand one above the other does not matter here.",
              {}, numbers);
}

void add_cost_figure(report::Page& page, SweepResults const& results) {
  auto seconds = std::vector<double>{0.};
  for (auto const& trial : results.trials) {
    seconds.push_back(trial.seconds() / static_cast<double>(trial.runs.size()));
  }
  auto chart = Chart{"What a run takes", report::axis_around("seconds, with metrics", seconds, 0),
                     report::axis_around(results.space.metric, values_of(results))};
  auto numbers =
      report::Table{{{"trial"}, {.header = "seconds", .precision = 1}, {results.space.metric}}};
  for (auto place = std::size_t{0}; place < results.trials.size(); ++place) {
    auto const& trial = results.trials[place];
    if (trial.diverged()) continue;
    auto const mean = trial.metric().mean;
    chart.dot(0, {seconds[place + 1], mean}, described(results, place));
    numbers.add({place + 1, seconds[place + 1], mean});
  }
  page.figure(chart, "A dot is a trial, means over its seeds; up and to the left is better.", {},
              numbers);
}

}  // namespace

std::string sweep_report(SweepResults const& results, std::string_view space, Splits const& splits,
                         Provenance const& provenance) {
  auto const order = results.ranking();
  auto const effects = SweepEffects::of(results);
  auto page = report::Page{"Sweep of settings"};
  page.paragraph("Which settings find binding sites better, by " + results.space.metric +
                 " on the validation split" +
                 (results.space.lower_is_better() ? ", where less is better?" : "?"));
  page.paragraph(effects.sentence());
  if (!results.trials[order.front()].diverged()) {
    page.paragraph("Best: " + described(results, order.front()) + ".");
  }
  page.heading("What decides");
  if (effects.trials > 0) {
    if (effects.trials > 1) {
      page.table(effects.table());
      add_share_figure(page, effects);
    }
    add_ranking_figure(page, results, order);
    for (auto const f : effects.by_share()) add_factor_figure(page, results, effects, f);
    add_cost_figure(page, results);
  }
  page.heading("Every trial");
  page.table(results.table(order));
  page.heading("What was tried");
  page.verbatim(space);
  add_provenance(page, provenance, splits);
  return page.text();
}

}  // namespace qlora::cli
