#include "sweep_effects.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <utility>

#include "numbers.hpp"
#include "sweep_results.hpp"

namespace qlora::cli {
namespace {

/// Numbers in bins of about as many trials each; equal numbers share a bin.
FactorLevels binned_levels(std::string const& name, std::vector<double> const& values) {
  auto ascending = values;
  std::ranges::sort(ascending);
  auto const bins = std::size_t{values.size() < 9 ? 2u : 3u};
  auto const bin_of = [&](double value) {
    auto const equal = std::ranges::equal_range(ascending, value);
    auto const below = static_cast<std::size_t>(equal.begin() - ascending.begin());
    return bins * (2 * below + equal.size() - 1) / (2 * values.size());  // of the middle of equals
  };
  auto levels = FactorLevels{name, {}, {}};
  for (auto bin = std::size_t{0}; bin < bins; ++bin) {
    auto const of_bin = [&](double value) { return bin_of(value) == bin; };
    auto const first = std::ranges::find_if(ascending, of_bin);
    auto const last = std::ranges::find_if_not(first, ascending.end(), of_bin);
    char label[64] = "none";
    if (first != last) std::snprintf(label, sizeof label, "%.3g to %.3g", *first, *(last - 1));
    levels.labels.emplace_back(label);
  }
  std::ranges::transform(values, std::back_inserter(levels.of_trial), bin_of);
  return levels;
}

FactorLevels factor_levels(Factor const& factor, std::vector<std::string> const& values) {
  if (factor.range) {
    auto numbers = std::vector<double>{};
    for (auto const& value : values) numbers.push_back(*parse_number<double>(value));
    return binned_levels(factor.name, numbers);
  }
  auto levels = FactorLevels{factor.name, factor.values, {}};
  for (auto const& value : values) {
    auto const place = std::ranges::find(factor.values, value) - factor.values.begin();
    levels.of_trial.push_back(static_cast<std::size_t>(place));
  }
  return levels;
}

/// Places of the lowest and the highest mean.
std::pair<std::size_t, std::size_t> extremes(metrics::MainEffect const& effect) {
  auto result = std::pair{effect.means.size(), effect.means.size()};
  for (auto i = std::size_t{0}; i < effect.means.size(); ++i) {
    if (effect.counts[i] == 0) continue;
    auto& [lowest, highest] = result;
    if (lowest == effect.means.size() || effect.means[i] < effect.means[lowest]) lowest = i;
    if (highest == effect.means.size() || effect.means[i] > effect.means[highest]) highest = i;
  }
  return result;
}

report::Cell percent_cell(double share) {
  return std::isnan(share) ? report::Cell{"-"} : report::Cell{100. * share};
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", 100. * share);
  return text;
}

}  // namespace

SweepEffects SweepEffects::of(SweepResults const& results) {
  auto const& factors = results.space.factors;
  auto counted = std::vector<SweepTrial const*>{};
  for (auto const& trial : results.trials) {
    if (!trial.diverged()) counted.push_back(&trial);
  }
  auto sweep = SweepEffects{};
  sweep.metric = results.space.metric;
  sweep.trials = counted.size();
  sweep.diverged = results.trials.size() - counted.size();
  sweep.seeds = static_cast<std::size_t>(results.space.seeds);
  if (counted.empty()) return sweep;
  auto sizes = std::vector<std::size_t>{};
  for (auto f = std::size_t{0}; f < factors.size(); ++f) {
    auto values = std::vector<std::string>{};
    for (auto const* const trial : counted) values.push_back(trial->settings[f]);
    sweep.levels.push_back(factor_levels(factors[f], values));
    sweep.binned = sweep.binned || factors[f].range.has_value();
    sizes.push_back(sweep.levels.back().labels.size());
  }
  auto observations = std::vector<metrics::Observation>{};
  for (auto t = std::size_t{0}; t < counted.size(); ++t) {
    auto levels = std::vector<std::size_t>{};
    for (auto const& factor : sweep.levels) levels.push_back(factor.of_trial[t]);
    for (auto const& run : counted[t]->runs) observations.push_back({levels, t, run.value});
  }
  sweep.effects = metrics::main_effects(observations, sizes);
  return sweep;
}

std::vector<std::size_t> SweepEffects::by_share() const {
  auto order = std::vector<std::size_t>{};
  for (auto f = std::size_t{0}; f < levels.size(); ++f) {
    if (effects.factors[f].freedom > 0) order.push_back(f);
  }
  std::ranges::sort(order, {}, [&](std::size_t f) {
    return std::pair{-effects.factors[f].squares, f};
  });
  return order;
}

report::Table SweepEffects::table() const {
  auto table = report::Table{{{"factor", report::Align::left},
                              {"lowest at", report::Align::left},
                              {"mean"},
                              {"highest at", report::Align::left},
                              {"mean"},
                              {"range"},
                              {"share, %", report::Align::right, 1},
                              {"by chance, %", report::Align::right, 1}}};
  for (auto const f : by_share()) {
    auto const& effect = effects.factors[f];
    auto const [lowest, highest] = extremes(effect);
    table.add({levels[f].name, levels[f].labels[lowest], effect.means[lowest],
               levels[f].labels[highest], effect.means[highest], effect.range(),
               percent_cell(effects.share(effect.squares)),
               percent_cell(effects.by_chance(effect))});
  }
  auto const rest = [&](char const* name, double share) {
    table.add({name, "-", "-", "-", "-", "-", percent_cell(share), "-"});
  };
  if (trials < 2) return table;
  if (effects.balanced) {
    rest(seeds > 1 ? "interactions" : "interactions, noise", effects.interactions());
  }
  if (seeds > 1) rest("seeds", effects.share(effects.within));
  return table;
}

std::string SweepEffects::sentence() const {
  auto const left_out =
      diverged > 0 ? ", without " + std::to_string(diverged) + " that diverged" : std::string{};
  if (trials < 2) {
    return "Nothing can be said of what decides: it takes two trials" + left_out + ".";
  }
  if (!(effects.total > 0.)) return "All runs have the same " + metric + ".";
  auto text = std::string{};
  auto const add = [&](std::string const& name, double share) {
    text += (text.empty() ? "" : ", ") + name + (text.empty() ? " explains " : " ") +
            percent(share) + (text.empty() ? " of the variance" : "");
  };
  for (auto const f : by_share()) {
    auto const& effect = effects.factors[f];
    add(levels[f].name, effects.share(effect.squares));
    if (effects.share(effect.squares) <= effects.by_chance(effect)) {
      text += " (no more than chance)";
    }
  }
  if (effects.balanced) {
    add(seeds > 1 ? "interactions" : "interactions and noise", effects.interactions());
  }
  if (seeds > 1) add("seeds", effects.share(effects.within));
  text += "; " + metric + " on validation, " + std::to_string(trials) + " trials x " +
          std::to_string(seeds) + (seeds > 1 ? " seeds" : " seed") + left_out;
  if (!effects.balanced) {
    text += std::string{"; each factor by itself"} + (binned ? ", ranges in bins" : "") +
            ", so that shares overlap and need not add up";
  }
  if (seeds == 1) text += "; with one seed, noise cannot be told from effects";
  return text + ".";
}

OrderedJson SweepEffects::json() const {
  if (trials == 0) return nullptr;
  auto factors = OrderedJson::array();
  for (auto const f : by_share()) {
    auto const& effect = effects.factors[f];
    auto list = OrderedJson::array();
    for (auto i = std::size_t{0}; i < effect.means.size(); ++i) {
      list.push_back(
          {{"value", levels[f].labels[i]}, {"mean", effect.means[i]}, {"runs", effect.counts[i]}});
    }
    factors.push_back({{"factor", levels[f].name},
                       {"levels", std::move(list)},
                       {"range", effect.range()},
                       {"freedom", effect.freedom},
                       {"sum_of_squares", effect.squares},
                       {"share", effects.share(effect.squares)},
                       {"by_chance", effects.by_chance(effect)}});
  }
  auto document = OrderedJson{{"method", effects.balanced ? "anova" : "one-way"},
                              {"trials", trials},
                              {"diverged", diverged},
                              {"mean", effects.mean},
                              {"total_sum_of_squares", effects.total},
                              {"factors", std::move(factors)}};
  if (effects.balanced) document["interactions"] = effects.interactions();
  if (seeds > 1) document["seeds"] = effects.share(effects.within);
  return document;
}

}  // namespace qlora::cli
