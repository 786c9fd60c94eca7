/// Student's interval of an estimand whose groups and seeds are both samples: of all families there
/// are, and of all runs there could be.
///
/// Every run sees every group, so the two are crossed factors. Group by group and run by run the
/// jackknife's pseudo-values (Tukey, 1958) stand in for observations; of a mean over groups they
/// are the observations. The analysis of variance of that table with both factors random gives the
/// variance of the mean and, after Satterthwaite (1946), degrees of freedom, which are close to
/// seeds - 1 where seeds dominate. Resampling five seeds instead gives intervals that are too
/// narrow: it takes the sample's variance, 4/5 of the population's on average, and the normal
/// distribution's quantile, 1.96 instead of t's 2.78 (tests/metrics/null.cpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <qlora/core/option.hpp>
#include <qlora/metrics/distributions.hpp>
#include <qlora/metrics/estimand.hpp>
#include <qlora/metrics/interval.hpp>

namespace qlora::inline v1::metrics {

/// Of the mean of a two-way table without repetition whose rows and columns are both random.
struct CrossedVariance {
  double variance = 0;
  double freedom = 0;  ///< degrees of freedom, whole or not; not a number where nothing varies
};

/// From observations (seeds, groups), at least one by two. A component of variance that comes out
/// negative counts as 0, which errs on the side of caution. Of a single seed it is the variance
/// over groups.
inline CrossedVariance crossed_variance(std::vector<std::vector<double>> const& table) {
  auto const seeds = static_cast<double>(table.size());
  auto const groups = static_cast<double>(table.front().size());
  auto by_seed = std::vector<double>{};
  auto by_group = std::vector<double>(table.front().size());
  for (auto const& run : table) {
    by_seed.push_back(std::accumulate(run.begin(), run.end(), 0.) / groups);
    for (std::size_t g = 0; g < run.size(); ++g) by_group[g] += run[g] / seeds;
  }
  auto const mean = std::accumulate(by_seed.begin(), by_seed.end(), 0.) / seeds;
  auto const square = [](double x) { return x * x; };
  auto of_seeds = 0., of_groups = 0., fourth_powers = 0., residual = 0.;  // sums of squares
  for (auto const value : by_group) {
    of_groups += square(value - mean);
    fourth_powers += square(square(value - mean));
  }
  for (std::size_t s = 0; s < table.size(); ++s) {
    of_seeds += square(by_seed[s] - mean);
    for (std::size_t g = 0; g < by_group.size(); ++g)
      residual += square(table[s][g] - by_seed[s] - by_group[g] + mean);
  }
  // A large family moves a pooled metric more than a small one, and then fewer groups than there
  // are make up the sum: Satterthwaite's formula, each group's variance taken from its square.
  auto const group_freedom = std::min(groups - 1, 3 * square(of_groups) / fourth_powers);
  of_groups *= seeds / (groups - 1);  // mean squares from here on
  if (table.size() > 1) {
    of_seeds *= groups / (seeds - 1);
    residual /= (seeds - 1) * (groups - 1);
  } else {
    residual *= 0;  // what rounding left; what is not a number stays so
  }
  auto const seeds_count = of_seeds > residual, groups_count = of_groups > residual;
  // The residual is in the expectation of each of the others.
  auto const sum = (seeds_count ? of_seeds : 0) + (groups_count ? of_groups : 0) +
                   (seeds_count == groups_count ? (seeds_count ? -residual : residual) : 0);
  auto uncertainty = 0.;
  if (seeds_count) uncertainty += square(of_seeds) / (seeds - 1);
  if (groups_count) uncertainty += square(of_groups) / group_freedom;
  if (seeds_count == groups_count && residual > 0)
    uncertainty += square(residual) / ((seeds - 1) * (groups - 1));
  return {.variance = sum / (seeds * groups), .freedom = square(sum) / uncertainty};
}

/// Pseudo-values (seeds, groups): groups * value - (groups - 1) * value without that group.
template <class E>
std::vector<std::vector<double>> pseudo_values(E const& estimand) {
  auto const groups = static_cast<double>(estimand.groups());
  auto const whole = estimand.by_seed();
  auto table = std::vector<std::vector<double>>{};
  auto times = std::vector<std::uint32_t>(estimand.groups(), 1);
  for (std::size_t s = 0; s < estimand.seeds(); ++s) {
    auto& run = table.emplace_back();
    for (auto& of_group : times) {
      of_group = 0;
      run.push_back(groups * whole[s] - (groups - 1) * estimand.value(s, times));
      of_group = 1;
    }
  }
  return table;
}

/// The interval that verdicts rest on. With a single seed it is of the groups alone, and in doubt.
/// Throws InputError unless 0 < confidence < 1.
template <class E>
Interval student_interval(E const& estimand, double confidence = 0.95) {
  expect_option(confidence > 0 && confidence < 1, "confidence", "a number between 0 and 1",
                confidence);
  auto const values = estimand.by_seed();
  auto const estimate =
      std::accumulate(values.begin(), values.end(), 0.) / static_cast<double>(values.size());
  auto interval = detail::unbounded(estimand, estimate);
  if (interval.doubt == Doubt::undefined || interval.doubt == Doubt::few_groups) return interval;
  auto const variance = crossed_variance(pseudo_values(estimand));
  if (std::isnan(variance.variance)) {  // undefined without one of its groups
    interval.doubt = Doubt::undefined;
    return interval;
  }
  auto const half =
      variance.variance == 0
          ? 0
          : std::sqrt(variance.variance) * student_quantile((1 + confidence) / 2, variance.freedom);
  interval.low = estimate - half;
  interval.high = estimate + half;
  return interval;
}

}  // namespace qlora::inline v1::metrics
