/// What became of a step.
#pragma once

#include <cstdint>

namespace qlora::inline v1 {

/// One line of a run's history.
struct StepRecord {
  std::int64_t step = 0;      ///< from 1
  std::int64_t epoch = 0;     ///< from 1
  double loss = 0.;           ///< before the update
  double gradient_norm = 0.;  ///< before clipping
  double learning_rate = 0.;
  std::int64_t tokens = 0;  ///< with `<cls>` and `<eos>`
  double tokens_per_second = 0.;
  bool skipped = false;  ///< loss or gradient was not finite, or no residue had a label
};

}  // namespace qlora::inline v1
