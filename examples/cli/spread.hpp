/// Numbers of an arm's runs, and their mean over seeds.
#pragma once

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "comparison.hpp"

namespace qlora::cli {

struct Spread {
  double mean = 0.;
  double deviation = std::numeric_limits<double>::quiet_NaN();  ///< by n - 1; NaN for one value
};

inline Spread spread(std::vector<double> const& values) {
  auto const n = static_cast<double>(values.size());
  auto result = Spread{.mean = std::accumulate(values.begin(), values.end(), 0.) / n};
  if (values.size() < 2) return result;
  auto squares = 0.;
  for (auto const value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / (n - 1.));
  return result;
}

/// `value(run)` of every run.
template <class Value>
std::vector<double> over_runs(ArmResults const& arm, Value&& value) {
  auto values = std::vector<double>{};
  for (auto const& run : arm.runs) values.push_back(static_cast<double>(value(run)));
  return values;
}

inline std::vector<double> of_metric(ArmResults const& arm, std::string const& split,
                                     std::string_view metric) {
  return over_runs(arm, [&](RunResult const& run) { return (*run.find(split))[metric]; });
}

/// Train minus test: positive where training looks better, and negative of a loss.
inline std::vector<double> gap(ArmResults const& arm, std::string_view metric) {
  return over_runs(arm, [&](RunResult const& run) {
    return (*run.find("train"))[metric] - (*run.find("test"))[metric];
  });
}

}  // namespace qlora::cli
