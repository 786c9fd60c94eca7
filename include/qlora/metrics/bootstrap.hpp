/// Two-level bootstrap: groups and seeds are drawn anew, each with replacement, and every run drawn
/// sees the groups drawn (Owen, "The pigeonhole bootstrap", 2007). Both arms of a difference see
/// the same draw. What is drawn depends on the seed and the number of the resample only: not on
/// threads, nor on what is estimated from it.
///
///     auto const difference = metrics::Estimand<metrics::MeanOverGroups>{all, qkv};
///     auto const interval = metrics::Bootstrap{difference, {.seed = 17}}.bca();
///
/// With few seeds these intervals are too narrow: verdicts rest on `student_interval`
/// (crossed.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <qlora/core/option.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/random.hpp>
#include <qlora/metrics/distributions.hpp>
#include <qlora/metrics/estimand.hpp>
#include <qlora/metrics/interval.hpp>
#include <qlora/metrics/quantile.hpp>

namespace qlora::inline v1::metrics {

struct BootstrapOptions {
  std::uint64_t seed = 1;  ///< of the draws; no seed of training
  std::uint32_t resamples = 2000;
  double confidence = 0.95;
};

/// Throws InputError for options that make no interval.
inline void check(BootstrapOptions const& options) {
  expect_option(options.resamples > 0, "resamples", "at least 1", options.resamples);
  expect_option(options.confidence > 0 && options.confidence < 1, "confidence",
                "a number between 0 and 1", options.confidence);
}

/// What resample number `i` is drawn by.
inline RandomSequence random_of_resample(BootstrapOptions const& options, Index i) {
  return RandomSequence{{.seed = options.seed,
                         .sample = static_cast<std::uint32_t>(i),
                         .site = random_site::resampling}};
}

/// How often each of `count` is drawn in `count` draws with replacement.
inline std::vector<std::uint32_t> draw_times(RandomSequence& random, std::size_t count) {
  auto times = std::vector<std::uint32_t>(count);
  for (std::size_t i = 0; i < count; ++i) ++times[random.below(static_cast<std::uint32_t>(count))];
  return times;
}

template <class E>
class Bootstrap {
 public:
  /// Draws and evaluates the resamples, on all threads. Throws InputError for options that make no
  /// interval.
  explicit Bootstrap(E const& estimand, BootstrapOptions const& options = {})
      : options_{options}, values_(options.resamples) {
    check(options);
    auto const values = estimand.by_seed();
    auto const estimate =
        std::accumulate(values.begin(), values.end(), 0.) / static_cast<double>(values.size());
    interval_ = detail::unbounded(estimand, estimate);
    if (!drawn()) return;
    parallel_rows(static_cast<Index>(options.resamples), 32, [&](Rows rows, int) {
      for (auto i = rows.first; i < rows.first + rows.count; ++i) {
        auto random = random_of_resample(options, i);
        auto const groups = draw_times(random, estimand.groups());
        auto const seeds = draw_times(random, estimand.seeds());
        values_[static_cast<std::size_t>(i)] = estimand.mean(groups, seeds);
      }
    });
    std::erase_if(values_, [](double value) { return std::isnan(value); });
    std::ranges::sort(values_);
    acceleration_ = acceleration(estimand);
  }

  /// Values of the resamples, ascending; those that are not a number left out.
  std::span<double const> values() const { return values_; }
  std::size_t undefined() const { return options_.resamples - values_.size(); }

  /// Between two quantiles of the resamples.
  Interval percentile() const {
    auto const tail = (1 - options_.confidence) / 2;
    return between(tail, 1 - tail);
  }

  /// Bias-corrected and accelerated (Efron, "Better bootstrap confidence intervals", 1987); the
  /// same formulas as `scipy.stats.bootstrap`, groups and seeds being its two samples. No bounds
  /// where all resamples are on one side of the estimate, or nothing varies.
  Interval bca() const {
    auto const below = std::ranges::lower_bound(values_, interval_.estimate) - values_.begin();
    auto const up_to = std::ranges::upper_bound(values_, interval_.estimate) - values_.begin();
    auto const bias = normal_quantile(static_cast<double>(below + up_to) /
                                      (2 * static_cast<double>(values_.size())));
    auto const level = [&](double z) {
      return normal_cdf(bias + (bias + z) / (1 - acceleration_ * (bias + z)));
    };
    auto const z = normal_quantile((1 - options_.confidence) / 2);
    auto const low = level(z), high = level(-z);
    if (std::isfinite(bias) && !std::isnan(low) && !std::isnan(high)) return between(low, high);
    auto interval = interval_;
    if (drawn()) interval.doubt = Doubt::no_spread;
    return interval;
  }

 private:
  /// Whether there is something to resample.
  bool drawn() const {
    return interval_.doubt == Doubt::none || interval_.doubt == Doubt::few_seeds;
  }

  Interval between(double low, double high) const {
    auto interval = interval_;
    if (!drawn()) return interval;
    interval.low = quantile(values_, low);
    interval.high = quantile(values_, high);
    if (values_.empty()) interval.doubt = Doubt::undefined;
    return interval;
  }

  /// Sixth of the skewness that each group and each seed, left out in turn, give to the estimate.
  static double acceleration(E const& estimand) {
    auto groups = std::vector<std::uint32_t>(estimand.groups(), 1);
    auto seeds = std::vector<std::uint32_t>(estimand.seeds(), 1);
    auto cubes = 0., squares = 0.;
    auto const leave_out_each = [&](std::vector<std::uint32_t>& times) {
      if (times.size() < 2) return;  // without a single seed there is no estimate
      auto const n = static_cast<double>(times.size());
      auto without = std::vector<double>{};
      for (auto& of_one : times) {
        of_one = 0;
        without.push_back(estimand.mean(groups, seeds));
        of_one = 1;
      }
      auto const mean = std::accumulate(without.begin(), without.end(), 0.) / n;
      for (auto const value : without) {
        auto const influence = (n - 1) * (mean - value) / n;
        cubes += influence * influence * influence;
        squares += influence * influence;
      }
    };
    leave_out_each(groups);
    leave_out_each(seeds);
    return cubes / (6 * std::pow(squares, 1.5));
  }

  BootstrapOptions options_;
  std::vector<double> values_;
  Interval interval_;
  double acceleration_ = 0;
};

}  // namespace qlora::inline v1::metrics
