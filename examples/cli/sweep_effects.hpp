/// What decides among the trials of a sweep: how much of the metric's variance each factor
/// explains.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <qlora/metrics/main_effects.hpp>
#include <qlora/report/table.hpp>

#include "files.hpp"

namespace qlora::cli {

struct SweepResults;

/// The values of a factor, or the bins of its range, and which of them each trial has.
struct FactorLevels {
  std::string name;
  std::vector<std::string> labels;
  std::vector<std::size_t> of_trial;
};

/// Main effects over the runs of the trials that did not diverge.
struct SweepEffects {
  std::string metric;
  std::size_t trials = 0;    ///< that count
  std::size_t diverged = 0;  ///< that do not
  std::size_t seeds = 1;
  bool binned = false;  ///< some factor is a range
  std::vector<FactorLevels> levels;
  metrics::MainEffects effects;  ///< empty without trials

  static SweepEffects of(SweepResults const& results);

  /// Places in `levels` of the factors of more than one value, the most important first.
  std::vector<std::size_t> by_share() const;
  /// A row a factor, in that order.
  report::Table table() const;
  /// What decides, and how much of it may be chance.
  std::string sentence() const;
  OrderedJson json() const;
};

}  // namespace qlora::cli
