/// Intervals of one evaluation's metrics: groups (families, clusters, proteins) are drawn anew with
/// replacement, and every metric of the set is computed from what was drawn.
///
///     auto resampled = metrics::Resampled<CardMetrics>{family_of_protein, families};
///     for (...) resampled.add(protein, logits, labels);
///     for (auto const& [name, interval] : resampled.intervals()) ...
///
/// These are intervals over proteins that might have been looked at, for one run: training anew
/// would move the metrics, too (bootstrap.hpp, crossed.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <qlora/core/parallel.hpp>
#include <qlora/metrics/bootstrap.hpp>
#include <qlora/metrics/groups.hpp>
#include <qlora/metrics/interval.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/metrics/quantile.hpp>

namespace qlora::inline v1::metrics {

/// Puts together the accumulator of groups that were drawn, by merging each as often as it was.
template <Accumulator A>
class GroupPool {
 public:
  GroupPool(std::span<A const> groups, Options const& options)
      : groups_{groups}, empty_{empty_accumulator<A>(options)} {}

  /// `times` (groups); finished.
  A draw(std::span<std::uint32_t const> times) const {
    auto drawn = empty_;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (auto i = times[g]; i > 0; --i) drawn.merge(groups_[g]);
    }
    if constexpr (requires { drawn.finish(); }) drawn.finish();
    return drawn;
  }

 private:
  std::span<A const> groups_;
  A empty_;
};

/// Keeps all residues in the order of their scores, so that no resample has to be sorted.
template <>
class GroupPool<Ranking> {
 public:
  GroupPool(std::span<Ranking const> groups, Options const&) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (auto const margin : groups[g].positive_scores()) positives_.push_back({margin, g});
      for (auto const margin : groups[g].negative_scores()) negatives_.push_back({margin, g});
    }
    std::ranges::sort(positives_, std::greater{}, &Residue::margin);
    std::ranges::sort(negatives_, std::greater{}, &Residue::margin);
  }

  Ranking draw(std::span<std::uint32_t const> times) const {
    auto drawn = Ranking{};
    for (auto const& [margin, group] : positives_) drawn.add(true, margin, times[group]);
    for (auto const& [margin, group] : negatives_) drawn.add(false, margin, times[group]);
    drawn.finish();
    return drawn;
  }

 private:
  struct Residue {
    float margin;
    std::size_t group;
  };
  std::vector<Residue> positives_, negatives_;
};

template <class Set>
class Resampled;

/// In the memory of each group's accumulators.
template <typename... Ms>
class Resampled<MetricSet<Ms...>> {
  static constexpr std::size_t count = sizeof...(Ms);

 public:
  /// As of Grouped.
  Resampled(std::vector<std::uint32_t> const& group_of, std::size_t groups,
            Options const& options = {})
      : options_{options}, grouped_{made(Accumulators{}, group_of, groups, options)} {}

  /// Counts residues of one protein: logits (residues, 2) and a range of as many labels. Throws as
  /// Grouped, and ShapeError if their sizes do not fit together.
  template <class Labels>
  void add(std::uint32_t protein, std::span<float const> logits, Labels const& labels) {
    for_each_residue(protein, logits, labels, [&](Prediction const& prediction) {
      std::apply([&](auto&... groups) { (groups.add(prediction), ...); }, grouped_);
    });
  }

  /// Percentile intervals in the set's order. What is drawn depends on the seed and the number of
  /// the resample only. Groups without a labelled residue are left out. A resample without residues
  /// of both classes does not count, for many metrics have a value by convention there; nor does
  /// one count for a metric that is not a number in it. Throws InputError for options that make no
  /// interval, and what `before_tile` throws, which threads call now and then.
  std::vector<std::pair<std::string_view, Interval>> intervals(
      BootstrapOptions const& options = {},
      std::function<void()> const& before_tile = [] {}) const {
    check(options);
    auto const counts = std::get<Grouped<Confusion>>(grouped_).accumulators();
    auto kept = std::vector<std::size_t>{};
    for (std::size_t g = 0; g < counts.size(); ++g) {
      if (counts[g].total() > 0) kept.push_back(g);
    }
    auto const pools = std::apply(
        [&](auto const&... grouped) {
          return std::tuple{GroupPool{grouped.accumulators(), options_}...};
        },
        grouped_);
    auto const estimates = values(pools, std::vector<std::uint32_t>(counts.size(), 1));
    auto drawn = std::vector<std::vector<double>>(count);  // (metrics, resamples)
    for (auto& of_metric : drawn) of_metric.resize(options.resamples);
    parallel_rows(static_cast<Index>(options.resamples), 8, [&](Rows rows, int) {
      before_tile();
      auto times = std::vector<std::uint32_t>(counts.size());
      for (auto i = rows.first; i < rows.first + rows.count; ++i) {
        auto random = random_of_resample(options, i);
        auto const of_kept = draw_times(random, kept.size());
        for (std::size_t k = 0; k < kept.size(); ++k) times[kept[k]] = of_kept[k];
        auto const resample = of_both_classes(counts, times) ? values(pools, times) : undefined();
        for (std::size_t m = 0; m < count; ++m) drawn[m][static_cast<std::size_t>(i)] = resample[m];
      }
    });
    auto result = std::vector<std::pair<std::string_view, Interval>>{};
    for (std::size_t m = 0; m < count; ++m) {
      result.emplace_back(MetricSet<Ms...>::names[m],
                          interval(estimates[m], std::move(drawn[m]), kept.size(),
                                   counts.size() - kept.size(), options.confidence));
    }
    return result;
  }

 private:
  using Values = std::array<double, count>;

  using Accumulators =
      std::type_identity<typename Distinct<std::tuple<>, Grouped<Confusion>,
                                           Grouped<typename Ms::Accumulator>...>::type>;

  template <class... Gs>
  static std::tuple<Gs...> made(std::type_identity<std::tuple<Gs...>>,
                                std::vector<std::uint32_t> const& group_of, std::size_t groups,
                                Options const& options) {
    return {Gs{group_of, groups, options}...};
  }

  static bool of_both_classes(std::span<Confusion const> groups,
                              std::vector<std::uint32_t> const& times) {
    auto sites = std::uint64_t{0}, others = std::uint64_t{0};
    for (std::size_t g = 0; g < groups.size(); ++g) {
      sites += times[g] * groups[g].positives();
      others += times[g] * groups[g].negatives();
    }
    return sites > 0 && others > 0;
  }
  static Values undefined() {
    auto values = Values{};
    values.fill(std::numeric_limits<double>::quiet_NaN());
    return values;
  }

  /// Every metric on the groups, each taken `times` (groups).
  template <class... As>
  static Values values(std::tuple<GroupPool<As>...> const& pools,
                       std::vector<std::uint32_t> const& times) {
    auto const drawn = std::tuple{std::get<GroupPool<As>>(pools).draw(times)...};
    return {static_cast<double>(Ms::value(std::get<typename Ms::Accumulator>(drawn)))...};
  }

  static Interval interval(double estimate, std::vector<double> resamples, std::size_t groups,
                           std::size_t left_out, double confidence) {
    auto result = detail::unbounded(estimate, 1, groups, left_out);
    if (result.doubt == Doubt::undefined || result.doubt == Doubt::few_groups) return result;
    result.doubt = Doubt::none;  // of this run, whatever others would give
    std::erase_if(resamples, [](double value) { return std::isnan(value); });
    std::ranges::sort(resamples);
    auto const tail = (1 - confidence) / 2;
    result.low = quantile(resamples, tail);
    result.high = quantile(resamples, 1 - tail);
    if (resamples.empty()) result.doubt = Doubt::undefined;
    return result;
  }

  Options options_;
  typename Accumulators::type grouped_;
};

}  // namespace qlora::inline v1::metrics
