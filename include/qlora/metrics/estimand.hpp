/// What a study estimates, from what each run left of each group: a level, or a difference of two
/// arms that were run with the same seeds on the same groups.
///
/// A statistic takes in groups, each a number of times, and gives a value:
///
///     struct WorstGroup {
///       using Group = double;  // what a run keeps of a group
///       static bool defined(double value) { return !std::isnan(value); }
///       void add(double value, std::uint32_t times) {
///         if (times > 0) worst = std::min(worst, value);
///       }
///       double value() const { return worst; }
///       double worst = 1;
///     };
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/metrics/confusion.hpp>
#include <qlora/metrics/metric.hpp>

namespace qlora::inline v1::metrics {

template <class S>
concept GroupStatistic = std::default_initializable<S> && requires {
  typename S::Group;
} && requires(S statistic, S const& filled, typename S::Group const& group, std::uint32_t times) {
  statistic.add(group, times);
  { filled.value() } -> std::convertible_to<double>;
  { S::defined(group) } -> std::convertible_to<bool>;
};

/// The mean over groups of a value each, such as average precision; not a number is undefined.
struct MeanOverGroups {
  using Group = double;
  static bool defined(double value) { return !std::isnan(value); }
  void add(double value, std::uint32_t times) {
    sum += times * value;
    groups += times;
  }
  double value() const { return sum / groups; }

  double sum = 0, groups = 0;
};

/// A metric of the confusion matrix, pooled over groups: a large group weighs more.
template <Metric M>
requires std::same_as<typename M::Accumulator, Confusion>
struct Pooled {
  using Group = Confusion;
  static bool defined(Confusion const& group) { return group.total() > 0; }
  void add(Confusion const& group, std::uint32_t times) {
    sum.tp += times * group.tp;
    sum.fp += times * group.fp;
    sum.tn += times * group.tn;
    sum.fn += times * group.fn;
  }
  double value() const { return M::value(sum); }

  Confusion sum;
};

/// What the runs of one arm left: (seeds, groups).
template <class Group>
using GroupTable = std::vector<std::vector<Group>>;

/// The mean over seeds of statistic S of an arm, or of its difference from another arm. Groups that
/// are undefined in some run are left out of every run.
template <class S>
class Estimand {
  static_assert(GroupStatistic<S>,
                "a group statistic needs using Group = ..., static bool defined(Group const&), "
                "void add(Group const&, std::uint32_t times) and double value() const; see "
                "metrics/estimand.hpp");

 public:
  using Table = GroupTable<typename S::Group>;

  /// The level of one arm. Throws ShapeError unless there is a run, and every run has the same
  /// groups.
  explicit Estimand(Table const& arm) {
    auto kept = all_groups(arm);
    find_defined(arm, kept);
    arm_ = keep(arm, kept);
  }

  /// The difference `arm - reference`, runs paired in order. Throws ShapeError unless both have as
  /// many runs, at least one, and every run has the same groups.
  Estimand(Table const& arm, Table const& reference) {
    if (arm.size() != reference.size())
      throw ShapeError{"estimand: expected as many runs of both arms, found " +
                       std::to_string(arm.size()) + " and " + std::to_string(reference.size())};
    auto kept = all_groups(arm);
    find_defined(arm, kept);
    find_defined(reference, kept);
    arm_ = keep(arm, kept);
    reference_ = keep(reference, kept);
  }

  std::size_t seeds() const { return arm_.size(); }
  std::size_t groups() const { return arm_.front().size(); }  ///< that are defined in every run
  std::size_t left_out() const { return left_out_; }          ///< groups that are not

  /// Of one run, group `g` taken times[g] times; `times` is (groups()).
  double value(std::size_t seed, std::span<std::uint32_t const> times) const {
    auto const level = of(arm_[seed], times);
    return reference_.empty() ? level : level - of(reference_[seed], times);
  }
  /// Of each run with every group once (seeds).
  std::vector<double> by_seed() const {
    auto const once = std::vector<std::uint32_t>(groups(), 1);
    auto values = std::vector<double>{};
    for (std::size_t s = 0; s < seeds(); ++s) values.push_back(value(s, once));
    return values;
  }
  /// The mean over seeds, seed `s` taken seed_times[s] times.
  double mean(std::span<std::uint32_t const> times,
              std::span<std::uint32_t const> seed_times) const {
    auto sum = 0., runs = 0.;
    for (std::size_t s = 0; s < seeds(); ++s) {
      if (seed_times[s] == 0) continue;
      sum += seed_times[s] * value(s, times);
      runs += seed_times[s];
    }
    return sum / runs;
  }

 private:
  static std::vector<bool> all_groups(Table const& table) {
    if (table.empty()) throw ShapeError{"estimand: expected at least one run, found none"};
    return std::vector<bool>(table.front().size(), true);
  }

  /// Clears `kept` (groups) of groups that some run does not define.
  static void find_defined(Table const& table, std::vector<bool>& kept) {
    for (auto const& run : table) {
      if (run.size() != kept.size())
        throw ShapeError{"estimand: expected " + std::to_string(kept.size()) +
                         " groups in every run, found " + std::to_string(run.size())};
      for (std::size_t g = 0; g < kept.size(); ++g) kept[g] = kept[g] && S::defined(run[g]);
    }
  }

  Table keep(Table const& table, std::vector<bool> const& kept) {
    auto result = Table(table.size());
    for (std::size_t s = 0; s < table.size(); ++s)
      for (std::size_t g = 0; g < kept.size(); ++g)
        if (kept[g]) result[s].push_back(table[s][g]);
    left_out_ = kept.size() - result.front().size();
    return result;
  }

  static double of(std::vector<typename S::Group> const& run,
                   std::span<std::uint32_t const> times) {
    auto statistic = S{};
    for (std::size_t g = 0; g < run.size(); ++g) statistic.add(run[g], times[g]);
    return statistic.value();
  }

  Table arm_, reference_;
  std::size_t left_out_ = 0;
};

}  // namespace qlora::inline v1::metrics
