/// What a sweep found: its trials, as a table, JSON and CSV, and what decides among them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <qlora/report/table.hpp>

#include "files.hpp"
#include "spread.hpp"
#include "sweep_space.hpp"

namespace qlora::cli {

struct SweepRun {
  std::uint64_t seed = 0;
  std::string folder;                                       ///< in that of the sweep
  double value = std::numeric_limits<double>::quiet_NaN();  ///< of the metric; NaN: diverged
  double seconds = 0.;
};

/// Settings that were run with every seed.
struct SweepTrial {
  Settings settings;
  std::vector<SweepRun> runs;

  /// With one of its seeds: then it is not ranked.
  bool diverged() const;
  /// Of the metric over seeds; not numbers where it diverged.
  Spread metric() const;
  double seconds() const;
};

struct SweepResults {
  Space space;
  OrderedJson study;               ///< what all trials share: model, data, flags
  std::vector<SweepTrial> trials;  ///< the first of those wanted, as far as they are done

  /// How many trials `json` wrote to that file. Throws InputError unless they are the first of
  /// those wanted, in the same study.
  std::size_t expect_begun(std::filesystem::path const& file,
                           std::vector<Settings> const& wanted) const;

  /// Places in `trials`, the best first and those that diverged last.
  std::vector<std::size_t> ranking() const;
  /// A row a trial at those places.
  report::Table table(std::vector<std::size_t> const& order) const;
  /// The best trials, then what decides, for that terminal.
  std::string text(report::Terminal const& terminal) const;
  OrderedJson json() const;
  std::string csv() const;
};

}  // namespace qlora::cli
