/// What a sweep tries: a TOML file of values for training flags, and the trials that it asks for.
///
///     placement = ["qkv", "all"]
///     rank = [2, 8]
///     lr = {low = 1e-4, high = 1e-2, scale = "log"}
///     search = "random"
///     trials = 20
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "run.hpp"

namespace qlora::cli {

/// A flag that is swept.
struct Factor {
  enum class Scale { linear, log };
  struct Range {
    double low = 0., high = 0.;
    Scale scale = Scale::linear;
  };

  std::string name;                 ///< rank, alpha_over_rank, ...
  std::vector<std::string> values;  ///< as they were written; none of a range
  std::optional<Range> range;
  std::size_t line = 0;  ///< of the file
};

/// A value for each factor, in their order.
using Settings = std::vector<std::string>;

/// The metric by which `compare` judges arms, in a sweep: average precision, mean over groups.
inline constexpr std::string_view by_group_metric = "average_precision_by_group";

struct Space {
  enum class Search { grid, random };

  Search search = Search::grid;
  std::int64_t trials = 0;  ///< of a random search
  std::int64_t seeds = 1;   ///< of each trial
  std::string metric = "average_precision";
  std::vector<Factor> factors;  ///< in the file's order

  /// Throws InputError, with file and line, for text that is no space.
  static Space parse(std::string_view text, std::string_view file);

  /// Losses.
  bool lower_is_better() const { return metric.starts_with("loss"); }

  /// Every combination, the last factor's values changing fastest; or `trials` different ones,
  /// drawn by numbers that depend on the seed, the trial and the factor's name alone. Throws
  /// InputError where there are not that many.
  std::vector<Settings> draw(std::uint64_t seed) const;

  /// The run with these flags. Throws InputError for numbers that make no training.
  RunOptions apply(Settings const& settings, RunOptions run) const;
};

}  // namespace qlora::cli
