/// Quantiles of a sample.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace qlora::inline v1::metrics {

/// Quantile `q` in [0, 1] of ascending values, linear between neighbours: numpy's default (type 7
/// of Hyndman and Fan, 1996), to the last bit. Not a number without values.
inline double quantile(std::span<double const> ascending, double q) {
  if (ascending.empty()) return std::numeric_limits<double>::quiet_NaN();
  auto const last = ascending.size() - 1;
  auto const place = std::clamp(q, 0., 1.) * static_cast<double>(last);
  auto const lower = std::min(static_cast<std::size_t>(place), last);
  auto const a = ascending[lower], b = ascending[std::min(lower + 1, last)];
  auto const t = place - std::floor(place);
  return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

}  // namespace qlora::inline v1::metrics
