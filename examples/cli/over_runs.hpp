/// Numbers of an arm's runs.
#pragma once

#include <array>
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

/// A metric of the test split by what a run chose on the validation split: its thresholds, and its
/// calibration.
struct DecidedMetric {
  std::string_view name;     ///< in `comparison.json`
  std::string_view heading;  ///< of its column
  std::string_view where;    ///< in a run's `metrics.json`
};
inline constexpr auto decided_metrics =
    std::to_array<DecidedMetric>({{"mcc_at_valid_threshold", "MCC", "/test/at_valid_threshold/mcc"},
                                  {"f1_at_valid_threshold", "F1", "/test/at_valid_threshold/f1"},
                                  {"log_loss_calibrated", "log loss", "/test/calibrated/log_loss"},
                                  {"calibration_error_calibrated", "calibration error",
                                   "/test/calibrated/expected_calibration_error"}});

/// Empty without a validation split.
inline std::vector<double> of_metric(ArmResults const& arm, DecidedMetric const& metric) {
  auto const where = OrderedJson::json_pointer{std::string{metric.where}};
  if (!arm.runs.front().metrics.contains(where)) return {};
  return over_runs(arm, [&](RunResult const& run) { return run.metrics.at(where).get<double>(); });
}

}  // namespace qlora::cli
