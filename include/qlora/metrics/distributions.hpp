/// Distribution functions and quantiles of the normal and Student's t, to about 1e-13.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>

namespace qlora::inline v1::metrics {

/// P(Z <= z) of a standard normal.
inline double normal_cdf(double z) {
  return std::erfc(-z / std::numbers::sqrt2) / 2;
}

namespace detail {

/// The x at which an increasing distribution function `cdf`, symmetric about 0, is p > 1/2: by
/// bisection, which needs no derivative and ends at neighbouring doubles.
template <class Cdf>
double upper_quantile(Cdf cdf, double p) {
  auto low = 0., high = 1.;
  while (cdf(high) < p && high < 1e300) low = high, high *= 2;
  while (true) {
    auto const middle = low + (high - low) / 2;
    if (!(low < middle && middle < high)) return high;
    (cdf(middle) < p ? low : high) = middle;
  }
}

/// The continued fraction of the incomplete beta function (Press et al., "Numerical recipes", 6.4;
/// modified Lentz).
inline double beta_fraction(double a, double b, double x) {
  auto const away_from_zero = [](double v) { return std::abs(v) < 1e-300 ? 1e-300 : v; };
  auto c = 1.;
  auto d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  auto fraction = d;
  for (auto term = 1; term < 10'000; ++term) {
    auto const m = static_cast<double>(term);
    auto const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    fraction *= d * c;
    auto const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    fraction *= d * c;
    if (std::abs(d * c - 1) < 1e-16) break;
  }
  return fraction;
}

/// Of a positive number. The standard's function writes the sign of gamma to a global variable.
inline double log_gamma(double x) {
  auto sign = 0;
  return ::lgamma_r(x, &sign);
}

/// The regularised incomplete beta function I_x(a, b), from x and y = 1 - x, neither 0.
inline double incomplete_beta(double a, double b, double x, double y) {
  auto const front =
      std::exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) + b * std::log(y));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, y) / b;
}

}  // namespace detail

/// The z of which P(Z <= z) is p; infinite at 0 and 1.
inline double normal_quantile(double p) {
  if (!(p >= 0 && p <= 1)) return std::numeric_limits<double>::quiet_NaN();
  if (p == 0 || p == 1) return p == 0 ? -HUGE_VAL : HUGE_VAL;
  if (p == 0.5) return 0;
  // The lower tail has all its digits; 1 - p is exact above a half.
  auto const tail = p < 0.5 ? p : 1 - p;
  auto const z = detail::upper_quantile([](double x) { return -normal_cdf(-x); }, -tail);
  return p < 0.5 ? -z : z;
}

/// P(T <= t) of Student's t with `freedom` > 0 degrees of freedom, whole or not.
inline double student_cdf(double t, double freedom) {
  if (t == 0) return 0.5;
  auto const sum = freedom + t * t;
  auto const both_tails = detail::incomplete_beta(freedom / 2, 0.5, freedom / sum, t * t / sum);
  return t < 0 ? both_tails / 2 : 1 - both_tails / 2;
}

/// The t of which P(T <= t) is p, for 0 < p < 1.
inline double student_quantile(double p, double freedom) {
  if (!(p > 0 && p < 1 && freedom > 0)) return std::numeric_limits<double>::quiet_NaN();
  if (p == 0.5) return 0;
  auto const tail = p < 0.5 ? p : 1 - p;
  auto const t = detail::upper_quantile([&](double x) { return -student_cdf(-x, freedom); }, -tail);
  return p < 0.5 ? -t : t;
}

}  // namespace qlora::inline v1::metrics
