/// Which of the settings of many runs a metric depends on: the one-way analysis of variance of each
/// factor, averaged over all others (Montgomery, "Design and Analysis of Experiments", chapter 5).
///
///     auto const effects = main_effects(runs, {3, 2});  // of three placements and two ranks
///     effects.share(effects.factors[0].squares)                 // of the variance, by placement
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>

namespace qlora::inline v1::metrics {

/// One run: the level of each factor, and what came out. Runs of one trial differ in their seeds.
struct Observation {
  std::vector<std::size_t> levels;
  std::size_t trial = 0;
  double value = 0.;
};

struct MainEffect {
  std::vector<double> means;        ///< of each level; not a number for one without a run
  std::vector<std::size_t> counts;  ///< runs of each level
  std::size_t freedom = 0;          ///< levels with a run, less one
  double squares = 0.;              ///< sum over runs of (mean of the run's level - mean of all)^2

  /// The largest less the smallest of the levels' means.
  double range() const {
    auto lowest = std::numeric_limits<double>::infinity();
    auto highest = -lowest;
    for (auto i = std::size_t{0}; i < means.size(); ++i) {
      if (counts[i] == 0) continue;
      lowest = std::min(lowest, means[i]);
      highest = std::max(highest, means[i]);
    }
    return highest - lowest;
  }
};

struct MainEffects {
  double mean = 0.;
  double total = 0.;   ///< sum over runs of (value - mean)^2
  double within = 0.;  ///< the part within trials: noise of the seeds
  std::vector<MainEffect> factors;
  std::size_t trials = 0;
  std::size_t runs = 0;
  /// Every combination of levels that have a run is one trial, with equally many runs. Then the
  /// factors' sums of squares are orthogonal, and `total` is their sum, `within` and the
  /// interactions. Otherwise each stands for itself: where levels of two factors come together more
  /// often than not, both claim what either did.
  bool balanced = false;

  /// Part of the total; not a number where all runs came out the same.
  double share(double squares) const {
    return total > 0. ? squares / total : std::numeric_limits<double>::quiet_NaN();
  }
  /// Share of the interactions, where balanced.
  double interactions() const {
    auto rest = total - within;
    for (auto const& factor : factors) rest -= factor.squares;
    return share(std::max(rest, 0.));
  }
  /// The share that a factor which does nothing may be expected to show. In a full grid the others'
  /// effects cancel in its means, so that only interactions are left, or the noise of seeds where a
  /// single factor leaves none: as many of their mean squares as it has degrees of freedom.
  /// Otherwise what it has on average when its levels are shuffled among trials of equally many
  /// runs, into which everything goes that the other factors do.
  double by_chance(MainEffect const& factor) const {
    if (trials < 2) return std::numeric_limits<double>::quiet_NaN();
    auto const part = [&](double of, std::size_t freedom) {
      return of * static_cast<double>(factor.freedom) / static_cast<double>(freedom);
    };
    auto freedom = trials - 1;
    if (balanced) {
      for (auto const& each : factors) freedom -= each.freedom;
      if (freedom > 0) return part(interactions(), freedom);
      if (runs > trials) return part(share(within), runs - trials);
    }
    return part(share(total - within), trials - 1);
  }
};

namespace detail {

/// Values of one group, for its mean.
struct Sum {
  double sum = 0.;
  std::size_t count = 0;

  void add(double value) {
    sum += value;
    ++count;
  }
  double mean() const {
    return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
  }
};

inline double square(double x) {
  return x * x;
}

inline MainEffect main_effect(std::span<Observation const> observations, std::size_t factor,
                              std::size_t levels, double mean) {
  auto sums = std::vector<Sum>(levels);
  for (auto const& one : observations) sums[one.levels[factor]].add(one.value);
  auto effect = MainEffect{};
  auto used = std::size_t{0};
  for (auto const& level : sums) {
    effect.means.push_back(level.mean());
    effect.counts.push_back(level.count);
    if (level.count == 0) continue;
    ++used;
    effect.squares += static_cast<double>(level.count) * square(level.mean() - mean);
  }
  effect.freedom = used - 1;
  return effect;
}

}  // namespace detail

/// Of runs with finite values; `levels` has the number of levels of each factor. Throws ShapeError
/// for no run at all, and for levels that there are not.
inline MainEffects main_effects(std::span<Observation const> observations,
                                std::vector<std::size_t> const& levels) {
  if (observations.empty()) throw ShapeError{"main effects: expected at least one run, found none"};
  auto all = detail::Sum{};
  auto trials = std::map<std::size_t, detail::Sum>{};
  auto combinations = std::set<std::vector<std::size_t>>{};
  for (auto const& one : observations) {
    if (!std::ranges::equal(one.levels, levels, std::ranges::less{})) {
      throw ShapeError{"main effects: expected levels of " + std::to_string(levels.size()) +
                       " factors, each below its number of levels"};
    }
    all.add(one.value);
    trials[one.trial].add(one.value);
    combinations.insert(one.levels);
  }
  auto effects = MainEffects{
      .mean = all.mean(), .factors = {}, .trials = trials.size(), .runs = observations.size()};
  for (auto const& one : observations) {
    effects.total += detail::square(one.value - effects.mean);
    effects.within += detail::square(one.value - trials[one.trial].mean());
  }
  auto possible = std::size_t{1};
  for (auto f = std::size_t{0}; f < levels.size(); ++f) {
    effects.factors.push_back(detail::main_effect(observations, f, levels[f], effects.mean));
    possible *= effects.factors.back().freedom + 1;
  }
  auto const runs = trials.begin()->second.count;
  effects.balanced =
      combinations.size() == possible && trials.size() == possible &&
      std::ranges::all_of(trials, [&](auto const& trial) { return trial.second.count == runs; });
  return effects;
}

}  // namespace qlora::inline v1::metrics
