/// The curves of a run, as a table and for TensorBoard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <qlora/metrics/scores.hpp>
#include <qlora/report/tensorboard.hpp>
#include <qlora/train/step_record.hpp>

namespace qlora::cli {

/// `history.csv`, a row a step, and an event file, which also has each split's metrics. The table
/// is replaced by each write(), the event file grows.
class History {
 public:
  explicit History(std::filesystem::path const& folder);

  void add(StepRecord const& step);
  /// Metrics of a split after that step.
  void add(std::string const& split, metrics::Scores const& scores, std::int64_t step);
  void write();

 private:
  std::filesystem::path table_;
  std::string text_;
  report::EventFile events_;
};

}  // namespace qlora::cli
