/// An interval, what it rests on, and what it says about a difference.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

#include <qlora/core/error.hpp>

namespace qlora::inline v1::metrics {

/// Why an interval is no basis for a verdict.
enum class Doubt {
  none,
  few_seeds,   ///< fewer than three: the noise of training is hardly known
  few_groups,  ///< fewer than two groups: other groups may be anything; no interval
  undefined,   ///< the estimate is not a number; no interval
  no_spread,   ///< resamples do not lie on both sides of the estimate; no interval
};

constexpr std::string_view reason(Doubt doubt) {
  switch (doubt) {
    case Doubt::none:
      return "";
    case Doubt::few_seeds:
      return "fewer than three seeds";
    case Doubt::few_groups:
      return "fewer than two groups that count";
    case Doubt::undefined:
      return "not defined on these groups";
    case Doubt::no_spread:
      return "resamples on one side of the estimate only";
  }
  return "";
}

struct Interval {
  double estimate = 0, low = 0, high = 0;  ///< bounds are not numbers where there is no interval
  std::size_t seeds = 0, groups = 0;       ///< it rests on
  std::size_t left_out = 0;                ///< groups that are undefined in some run
  Doubt doubt = Doubt::none;

  /// The part of it where the number can be, which covers it no less often.
  Interval within(double least, double most) const {
    auto cut = *this;
    cut.low = std::clamp(low, least, most);
    cut.high = std::clamp(high, least, most);
    return cut;
  }
};

enum class Verdict { better, worse, equivalent, undecided };

constexpr std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::better:
      return "better";
    case Verdict::worse:
      return "worse";
    case Verdict::equivalent:
      return "equivalent";
    case Verdict::undecided:
      break;
  }
  return "undecided";
}

/// Which values of a metric are wanted.
enum class Wanted { high, low };

/// What the interval of a difference says: `equivalent` if it lies within (-margin, margin), by two
/// one-sided tests (Schuirmann, 1987) at half the level each that the interval leaves out, 2.5 %
/// for 95 %; otherwise `better` or `worse` if it lies to one side of 0; `undecided` if neither, or
/// if there is a doubt. A margin of 0 finds nothing equivalent. Throws InputError for a negative
/// one.
inline Verdict verdict(Interval const& interval, double margin, Wanted wanted = Wanted::high) {
  if (!(margin >= 0)) {
    throw InputError{"verdict: expected a margin of at least 0, found " + std::to_string(margin)};
  }
  if (interval.doubt != Doubt::none) return Verdict::undecided;
  if (interval.low > -margin && interval.high < margin) return Verdict::equivalent;
  if (interval.low > 0) return wanted == Wanted::high ? Verdict::better : Verdict::worse;
  if (interval.high < 0) return wanted == Wanted::high ? Verdict::worse : Verdict::better;
  return Verdict::undecided;
}

namespace detail {

/// An interval without bounds, with its doubt.
inline Interval unbounded(double estimate, std::size_t seeds, std::size_t groups,
                          std::size_t left_out) {
  return {.estimate = estimate,
          .low = std::numeric_limits<double>::quiet_NaN(),
          .high = std::numeric_limits<double>::quiet_NaN(),
          .seeds = seeds,
          .groups = groups,
          .left_out = left_out,
          .doubt = std::isnan(estimate) ? Doubt::undefined
                   : groups < 2         ? Doubt::few_groups
                   : seeds < 3          ? Doubt::few_seeds
                                        : Doubt::none};
}
/// The same of an estimand.
template <class E>
Interval unbounded(E const& estimand, double estimate) {
  return unbounded(estimate, estimand.seeds(), estimand.groups(), estimand.left_out());
}

}  // namespace detail
}  // namespace qlora::inline v1::metrics
