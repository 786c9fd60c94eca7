/// What a comparison found: the runs of each arm, as tables and as JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <qlora/report/study.hpp>

#include "arms.hpp"
#include "files.hpp"
#include "run_result.hpp"

namespace qlora::cli {

/// Runs of one arm, one a seed.
struct ArmResults {
  Arm arm;
  std::vector<std::uint64_t> seeds;
  std::vector<RunResult> runs;

  /// Its numbers by group of the test split.
  report::StudyArm study() const;
};

/// Where two arms fit their training data equally well, means over pairs of runs of a seed.
struct EqualLoss {
  report::Difference difference;
  double level = 0;                       ///< the training loss
  double arm_gap = 0, reference_gap = 0;  ///< test loss minus the training loss
};

/// An arm at one of the learning rates that it chose from.
struct RateTrial {
  std::string arm;  ///< before it had a rate
  double rate = 0;
  double value = 0;  ///< average precision on valid, mean over groups; not a number: diverged
  bool chosen = false;
};

enum class Published { in_json, shown };

struct Comparison {
  std::vector<ArmResults> arms;    ///< differences are against the first
  std::optional<ArmResults> null;  ///< the first arm again with other seeds
  std::vector<std::pair<std::string, RunResult>> baselines;  ///< without chance: a run each
  std::vector<RateTrial> rates;                              ///< that arms chose from
  std::string groups_file;  ///< empty: each protein is a group of its own
  double margin = 0;
  Published published = Published::in_json;

  /// Each arm x split and the gap between train and test, means over seeds; what each arm costs;
  /// then what the study says. For that terminal.
  std::string text(report::Terminal const& terminal) const;
  OrderedJson json() const;
  /// Every metric of every arm and baseline on every split, means over seeds, and the gaps.
  report::Table metrics_table() const;
  /// Which rates arms chose from.
  report::Table rates_table() const;
  /// Metrics of the test split by what runs chose on the validation split, means over seeds; no
  /// rows without one.
  report::Table decisions_table() const;

  /// Each arm, and then each baseline, against the first arm.
  std::vector<report::Difference> differences() const;
  /// The first arm's other seeds against its seeds.
  std::optional<report::Difference> null_difference() const;
  /// As `--baselines` takes them: "frequency,window", "none".
  std::string baseline_names() const;
  /// Of arms and baselines; what a baseline left stands for every seed.
  std::vector<report::StudyArm> studies() const;
  /// Empty where runs were not looked at after each epoch.
  std::vector<EqualLoss> at_equal_loss() const;
};

/// A row a pair.
report::Table equal_loss_table(std::vector<EqualLoss> const& pairs);

}  // namespace qlora::cli
