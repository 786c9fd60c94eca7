/// Metrics by group (family, cluster, ligand, length), and their mean with equal weight a group.
///
///     auto grouped = metrics::Grouped<metrics::Ranking>{group_of_protein, groups};
///     for (...) grouped.add(prediction);
///     grouped.finish();
///     auto const values = grouped.values<metrics::WhereBothClasses<metrics::AveragePrecision>>();
///     auto const primary = metrics::mean_over_groups(values);
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/metrics/loss.hpp>
#include <qlora/metrics/metric.hpp>

namespace qlora::inline v1::metrics {

/// One accumulator a group.
template <Accumulator A>
class Grouped {
 public:
  /// `group_of` (proteins) holds the group of each protein, below `groups`. Throws InputError
  /// otherwise.
  Grouped(std::vector<std::uint32_t> group_of, std::size_t groups, Options const& options = {})
      : group_of_{std::move(group_of)} {
    for (auto const group : group_of_) {
      if (group >= groups) {
        throw InputError{"groups: expected numbers below " + std::to_string(groups) + ", found " +
                         std::to_string(group)};
      }
    }
    accumulators_.assign(groups, empty_accumulator<A>(options));
  }

  /// Counts one residue, unless its label is unknown (negative). Throws InputError for a label
  /// above 1 and for a protein that has no group, DivergedError for a logit that is not finite.
  void add(Prediction const& prediction) {
    if (!is_labelled(prediction)) return;
    if (prediction.protein >= group_of_.size()) {
      throw InputError{"groups: expected a protein below " + std::to_string(group_of_.size()) +
                       ", found " + std::to_string(prediction.protein)};
    }
    accumulators_[group_of_[prediction.protein]].add(prediction);
  }

  /// Takes in what another one, made with the same groups, has counted.
  void merge(Grouped const& other) {
    if (other.size() != size()) {
      throw ShapeError{"groups: expected " + std::to_string(size()) + " to merge, found " +
                       std::to_string(other.size())};
    }
    for (std::size_t g = 0; g < size(); ++g) accumulators_[g].merge(other.accumulators_[g]);
  }

  void finish() {
    for (auto& accumulator : accumulators_)
      if constexpr (requires { accumulator.finish(); }) accumulator.finish();
  }

  std::size_t size() const { return accumulators_.size(); }
  A const& operator[](std::size_t group) const { return accumulators_[group]; }
  std::span<A const> accumulators() const { return accumulators_; }

  /// `statistic(accumulator)` of each group (groups).
  template <class Statistic>
  std::vector<double> values(Statistic statistic) const {
    auto values = std::vector<double>(size());
    std::ranges::transform(accumulators_, values.begin(), statistic);
    return values;
  }
  /// Metric M of each group (groups). Needs finish() after the last residue.
  template <Metric M>
  requires std::same_as<typename M::Accumulator, A> std::vector<double> values()
  const { return values(&M::value); }

 private:
  std::vector<std::uint32_t> group_of_;
  std::vector<A> accumulators_;
};

/// A metric that is not a number where a class is absent and M has a value by convention. In a mean
/// over groups a conventional 0, without sites, would count like a failure; and the 1 that any
/// ranking gets without other residues, like a success.
template <Metric M>
struct WhereBothClasses {
  static constexpr std::string_view name = M::name;
  using Accumulator = typename M::Accumulator;
  static double value(Accumulator const& accumulator) {
    auto const has_both = accumulator.positives() > 0 && accumulator.negatives() > 0;
    return has_both ? M::value(accumulator) : std::numeric_limits<double>::quiet_NaN();
  }
};

/// The fraction of a group's labelled residues that are sites; not a number without any.
template <class Counts>
double prevalence(Counts const& counts) {
  return static_cast<double>(counts.positives()) /
         static_cast<double>(counts.positives() + counts.negatives());
}

struct GroupMean {
  double mean = 0;  ///< not a number without a group that counts
  std::size_t groups = 0;
  std::size_t left_out = 0;  ///< groups whose value is not a number
};

/// The mean of the values that are numbers, with equal weights.
inline GroupMean mean_over_groups(std::span<double const> values) {
  auto result = GroupMean{};
  auto sum = CompensatedSum{};
  for (auto const value : values) {
    if (std::isnan(value)) {
      ++result.left_out;
    } else {
      ++result.groups;
      sum += value;
    }
  }
  result.mean = sum.value() / static_cast<double>(result.groups);
  return result;
}

/// How many groups of equal size carry as much information, 1 / sum(w^2) with w the shares of the
/// sizes (Kish, "Survey sampling", 1965); not a number where all are 0.
inline double effective_groups(std::span<double const> sizes) {
  auto sum = 0., squares = 0.;
  for (auto const size : sizes) {
    sum += size;
    squares += size * size;
  }
  return sum * sum / squares;
}

}  // namespace qlora::inline v1::metrics
