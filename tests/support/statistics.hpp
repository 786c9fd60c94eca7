/// Samples for statistics, and what other implementations make of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <qlora/metrics/ranking.hpp>

namespace qlora::testing {

/// tests/goldens/statistics.json, which tests/parity/make_statistics.py describes.
inline nlohmann::json const& statistics() {
  static auto const golden =
      nlohmann::json::parse(std::ifstream{QLORA_TEST_DATA "/statistics.json"});
  return golden;
}

/// A finished ranking of these residues.
inline metrics::Ranking ranking_of(std::vector<int> const& labels,
                                   std::vector<float> const& scores) {
  auto ranking = metrics::Ranking{};
  for (std::size_t i = 0; i < labels.size(); ++i)
    ranking.add({.logit0 = 0, .logit1 = scores[i], .label = labels[i]});
  ranking.finish();
  return ranking;
}

inline metrics::Ranking ranking_of(nlohmann::json const& sample) {
  return ranking_of(sample.at("labels").get<std::vector<int>>(),
                    sample.at("scores").get<std::vector<float>>());
}

/// A number, or `otherwise` for null.
inline double number(nlohmann::json const& json,
                     double otherwise = std::numeric_limits<double>::quiet_NaN()) {
  return json.is_null() ? otherwise : json.get<double>();
}

/// Equal to within `tolerance` of the larger of 1 and the value; not a number equals itself.
inline void expect_close(double value, double expected, double tolerance = 1e-12) {
  if (std::isfinite(expected))
    EXPECT_NEAR(value, expected, tolerance * std::max(1., std::abs(expected)));
  else
    EXPECT_EQ(std::isnan(value) ? 0 : value, std::isnan(expected) ? 0 : expected);
}

/// Elementwise, null in the golden being not a number.
template <class Values>
void expect_all_close(Values const& values, nlohmann::json const& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    expect_close(static_cast<double>(values[i]), number(expected[i]));
  }
}

}  // namespace qlora::testing
