/// Mean and standard deviation of a few runs.
#pragma once

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

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

}  // namespace qlora::cli
