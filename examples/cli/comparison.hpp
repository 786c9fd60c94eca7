/// What a comparison found: the runs of each arm, as tables and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arms.hpp"
#include "files.hpp"
#include "run.hpp"

namespace qlora::cli {

/// Runs of one arm, one a seed.
struct ArmResults {
  Arm arm;
  std::vector<RunResult> runs;
};

struct Comparison {
  std::vector<std::uint64_t> seeds;
  std::vector<ArmResults> arms;  ///< differences are against the first

  /// Each arm x split and the gap between train and test, means over seeds; then what each arm
  /// costs; then each arm against the first, paired by seed. For a terminal of that width.
  std::string text(std::size_t width) const;
  OrderedJson json() const;
};

}  // namespace qlora::cli
