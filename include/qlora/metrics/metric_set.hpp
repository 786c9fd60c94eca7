/// Metric sets: residues go in batch by batch, scores come out.
///
///     auto metrics = qlora::CardMetrics{{.class_weights = {0.5, 16.4}}};
///     metrics.add({.logit0 = 0.3f, .logit1 = 1.2f, .label = 1, .protein = 7});
///     auto const f1 = metrics.scores().get<qlora::metrics::F1>();
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_set>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/metrics/confusion.hpp>
#include <qlora/metrics/loss.hpp>
#include <qlora/metrics/metric.hpp>
#include <qlora/metrics/ranking.hpp>
#include <qlora/metrics/scores.hpp>

namespace qlora::inline v1 {
namespace metrics {

/// Which proteins had a labelled residue.
class Proteins {
 public:
  void add(Prediction const& p) { seen_.insert(p.protein); }
  void merge(Proteins const& other) { seen_.insert(other.seen_.begin(), other.seen_.end()); }
  std::uint64_t count() const { return seen_.size(); }

 private:
  std::unordered_set<std::uint32_t> seen_;
};

/// A std::tuple of the types given, each once, in order of first appearance.
template <typename Tuple, typename... Ts>
struct Distinct : std::type_identity<Tuple> {};
template <typename... Us, typename T, typename... Ts>
struct Distinct<std::tuple<Us...>, T, Ts...>
    : Distinct<
          std::conditional_t<(std::same_as<Us, T> || ...), std::tuple<Us...>, std::tuple<Us..., T>>,
          Ts...> {};

/// Whether types can form a set; a compile-time error says why not.
template <typename... Ms>
consteval bool check_metrics() {
  static_assert(sizeof...(Ms) > 0, "a metric set needs at least one metric");
  if constexpr ((check_metric<Ms>() && ...)) {
    constexpr auto distinct = [] {
      auto names = std::array{std::string_view{Ms::name}...};
      std::ranges::sort(names);
      return std::ranges::adjacent_find(names) == names.end();
    }();
    static_assert(distinct, "two metrics of this set have the same name");
  }
  return true;
}

}  // namespace metrics

namespace metrics {

/// What evaluation asks of a set of metrics.
template <typename S>
concept Set = requires(S set, std::uint32_t protein, std::span<float const> logits,
                       std::vector<std::int8_t> const& labels) {
  S{Options{}};
  set.add(protein, logits, labels);
  { set.scores() } -> std::convertible_to<Scores>;
};

}  // namespace metrics

/// The metrics Ms, or those of them that `Options::names` picks at run time. Every set also counts
/// the confusion matrix, residues and proteins.
template <typename... Ms>
class MetricSet {
  static_assert(metrics::check_metrics<Ms...>());

 public:
  static constexpr auto names = std::array{std::string_view{Ms::name}...};

  /// These and more: `CardMetrics::With<F2>`.
  template <typename... More>
  using With = MetricSet<Ms..., More...>;

  /// Throws InputError if `options.names` holds anything but names of this set.
  explicit MetricSet(metrics::Options const& options = {}) : wanted_{selection(options.names)} {
    start<metrics::Confusion>(options);
    start<metrics::Proteins>(options);
    std::size_t index = 0;
    ((wanted_[index++] ? start<typename Ms::Accumulator>(options) : void()), ...);
  }

  /// Counts one residue, unless its label is unknown (negative). Throws InputError for a label
  /// above 1 and DivergedError for a logit that is not finite.
  void add(metrics::Prediction const& prediction) {
    if (!metrics::is_labelled(prediction)) return;
    for_each_accumulator([&](auto& accumulator) {
      if (accumulator) accumulator->add(prediction);
    });
  }

  /// Counts residues of one protein: logits (residues, 2) and a range of as many labels. Throws
  /// ShapeError if their sizes do not fit together.
  template <typename Labels>
  void add(std::uint32_t protein, std::span<float const> logits, Labels const& labels) {
    metrics::for_each_residue(protein, logits, labels,
                              [&](metrics::Prediction const& prediction) { add(prediction); });
  }

  /// Takes in what another set, made with the same options, has counted.
  void merge(MetricSet const& other) {
    for_each_accumulator([&]<typename A>(std::optional<A>& accumulator) {
      auto const& theirs = std::get<std::optional<A>>(other.accumulators_);
      if (accumulator && theirs) accumulator->merge(*theirs);
    });
  }

  /// The values so far, in the set's order; more residues may follow. Throws InputError if there is
  /// no labelled residue yet.
  metrics::Scores scores() {
    auto scores = metrics::Scores{.values = {},
                                  .confusion = get<metrics::Confusion>(),
                                  .proteins = get<metrics::Proteins>().count()};
    if (scores.residues() == 0)
      throw InputError("metrics: expected at least one labelled residue, found none");
    for_each_accumulator([](auto& accumulator) {
      if constexpr (requires { accumulator->finish(); })
        if (accumulator) accumulator->finish();
    });
    std::size_t index = 0;
    ((wanted_[index++]
          ? void(scores.values.emplace_back(Ms::name, Ms::value(get<typename Ms::Accumulator>())))
          : void()),
     ...);
    return scores;
  }

 private:
  using Selection = std::array<bool, sizeof...(Ms)>;

  static Selection selection(std::string_view list) {
    auto wanted = Selection{};
    if (list.empty()) wanted.fill(true);
    while (!list.empty()) {
      auto const name = list.substr(0, list.find(','));
      list.remove_prefix(std::min(name.size() + 1, list.size()));
      auto const found = std::ranges::find(names, name);
      if (found == names.end()) throw metrics::unknown_name(names, name);
      wanted[static_cast<std::size_t>(found - names.begin())] = true;
    }
    return wanted;
  }

  template <typename A>
  void start(metrics::Options const& options) {
    auto& accumulator = std::get<std::optional<A>>(accumulators_);
    if (!accumulator) accumulator.emplace(metrics::empty_accumulator<A>(options));
  }

  template <typename A>
  A const& get() const {
    return *std::get<std::optional<A>>(accumulators_);
  }

  template <typename Visit>
  void for_each_accumulator(Visit visit) {
    std::apply([&](auto&... accumulators) { (visit(accumulators), ...); }, accumulators_);
  }

  Selection wanted_;
  typename metrics::Distinct<std::tuple<>, std::optional<metrics::Confusion>,
                             std::optional<metrics::Proteins>,
                             std::optional<typename Ms::Accumulator>...>::type accumulators_;
};

/// The model card's seven numbers under its own definitions.
using CardMetrics = MetricSet<metrics::Loss, metrics::Accuracy, metrics::Precision, metrics::Recall,
                              metrics::F1, metrics::AucCard, metrics::Mcc>;

/// What holds across thresholds and class weights.
using RankingMetrics =
    MetricSet<metrics::RocAuc, metrics::AveragePrecision, metrics::BalancedAccuracy,
              metrics::Prevalence, metrics::LossUnweighted>;

namespace metrics {

/// The runtime member of the family: every metric of the library, of which `Options::names` picks.
using Chosen = MetricSet<Loss, Accuracy, Precision, Recall, F1, Mcc, AucCard, LossUnweighted,
                         RocAuc, AveragePrecision, BalancedAccuracy, Prevalence, Specificity,
                         PrecisionAtRecall<50>, PrecisionAtRecall<80>>;

}  // namespace metrics
}  // namespace qlora::inline v1
