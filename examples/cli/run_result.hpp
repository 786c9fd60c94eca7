/// What one training run found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <qlora/metrics/epoch_history.hpp>
#include <qlora/metrics/group_scores.hpp>
#include <qlora/metrics/scores.hpp>

#include "files.hpp"
#include "run_curves.hpp"

namespace qlora::cli {

struct RunResult {
  OrderedJson metrics = OrderedJson::object();                       ///< what `metrics.json` holds
  std::vector<std::pair<std::string, metrics::Scores>> scores;       ///< by split
  std::vector<std::pair<std::string, metrics::GroupScores>> groups;  ///< of valid and test
  metrics::EpochHistory epochs;  ///< held-out values of the test split, where asked for
  RunCurves curves;              ///< of the test split, if there is one
  std::int64_t trainable_parameters = 0;
  std::int64_t steps = 0;
  std::int64_t skipped_steps = 0;
  std::int64_t tokens = 0;       ///< seen in training
  double training_seconds = 0.;  ///< of the steps alone
  double total_seconds = 0.;     ///< with loading and evaluation
  std::size_t peak_bytes = 0;    ///< resident memory at its largest, or the device's
  std::int64_t best_epoch = 0;   ///< whose adapter was kept, from 1

  /// Null where there is no such split.
  metrics::Scores const* find(std::string const& split) const;
  metrics::GroupScores const* find_groups(std::string const& split) const;
  double tokens_per_second() const { return static_cast<double>(tokens) / training_seconds; }
};

}  // namespace qlora::cli
