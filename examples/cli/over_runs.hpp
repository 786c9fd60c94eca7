/// Numbers of an arm's runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "comparison.hpp"

namespace qlora::cli {

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
