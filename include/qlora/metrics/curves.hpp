/// Curves over thresholds on the margin, and thresholds chosen on one split for use on another.
///
///     auto const chosen = metrics::best_threshold<metrics::F1>(validation);
///     auto const on_test = metrics::F1::value(metrics::confusion_at(test, chosen.threshold));
///
/// Both rankings are finished (`Ranking::finish`). A residue is called a site where its margin is
/// at least the threshold; a threshold of infinity calls none.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/metrics/confusion.hpp>
#include <qlora/metrics/ranking.hpp>

namespace qlora::inline v1::metrics {

/// One point a distinct score, from the highest, after a first point at which nothing is a site.
/// A rate is not a number where its class is absent.
struct RocCurve {
  std::vector<double> false_positive_rate, true_positive_rate;  // (scores + 1)
  std::vector<float> thresholds;                                // (scores + 1), infinity first
};

/// One point a distinct score, from the lowest, and a last point of precision 1 and recall 0 that
/// belongs to no threshold. Without sites precision is 0 and recall 1.
struct PrecisionRecallCurve {
  std::vector<double> precision, recall;  // (scores + 1)
  std::vector<float> thresholds;          // (scores)
};

/// A threshold, and what it does to the residues it was chosen on.
struct OperatingPoint {
  float threshold = std::numeric_limits<float>::infinity();
  double value = 0;  ///< of the metric it was chosen for
  Confusion confusion;
};

namespace detail {

inline void expect_residues(Ranking const& ranking, char const* what) {
  if (ranking.positives() + ranking.negatives() > 0) return;
  throw InputError{std::string{what} + ": expected at least one labelled residue, found none"};
}

inline double rate(std::uint64_t count, std::uint64_t of) {
  return static_cast<double>(count) / static_cast<double>(of);
}

inline Confusion confusion(Ranking const& ranking, std::uint64_t tp, std::uint64_t fp) {
  return {.tp = tp, .fp = fp, .tn = ranking.negatives() - fp, .fn = ranking.positives() - tp};
}

}  // namespace detail

/// scikit-learn's `roc_curve(..., drop_intermediate=False)`. Throws InputError without residues.
inline RocCurve roc_curve(Ranking const& ranking) {
  detail::expect_residues(ranking, "ROC curve");
  auto curve = RocCurve{};
  auto const add = [&](std::uint64_t tp, std::uint64_t fp, float threshold) {
    curve.false_positive_rate.push_back(detail::rate(fp, ranking.negatives()));
    curve.true_positive_rate.push_back(detail::rate(tp, ranking.positives()));
    curve.thresholds.push_back(threshold);
  };
  add(0, 0, std::numeric_limits<float>::infinity());
  ranking.for_each_threshold(add);
  return curve;
}

/// scikit-learn's `precision_recall_curve(..., drop_intermediate=False)`. Throws InputError without
/// residues.
inline PrecisionRecallCurve precision_recall_curve(Ranking const& ranking) {
  detail::expect_residues(ranking, "precision-recall curve");
  auto curve = PrecisionRecallCurve{.precision = {1.}, .recall = {0.}, .thresholds = {}};
  ranking.for_each_threshold([&](std::uint64_t tp, std::uint64_t fp, float threshold) {
    curve.precision.push_back(detail::rate(tp, tp + fp));
    curve.recall.push_back(ranking.positives() == 0 ? 1. : detail::rate(tp, ranking.positives()));
    curve.thresholds.push_back(threshold);
  });
  std::ranges::reverse(curve.precision);
  std::ranges::reverse(curve.recall);
  std::ranges::reverse(curve.thresholds);
  return curve;
}

/// The counts where residues that score at least `threshold` are called sites.
inline Confusion confusion_at(Ranking const& ranking, float threshold) {
  auto const reaching = [&](std::span<float const> scores) {
    return static_cast<std::uint64_t>(std::ranges::upper_bound(scores, threshold, std::greater{}) -
                                      scores.begin());
  };
  return detail::confusion(ranking, reaching(ranking.positive_scores()),
                           reaching(ranking.negative_scores()));
}

/// The threshold, among infinity and the scores there are, at which metric M of the confusion
/// matrix is largest; of several that are equally good, the highest. Throws InputError without
/// residues.
template <Metric M>
requires std::same_as<typename M::Accumulator, Confusion> OperatingPoint
best_threshold(Ranking const& ranking) {
  detail::expect_residues(ranking, "best threshold");
  auto best = OperatingPoint{.confusion = detail::confusion(ranking, 0, 0)};
  best.value = M::value(best.confusion);
  ranking.for_each_threshold([&](std::uint64_t tp, std::uint64_t fp, float threshold) {
    auto const confusion = detail::confusion(ranking, tp, fp);
    auto const value = M::value(confusion);
    if (value > best.value) best = {threshold, value, confusion};
  });
  return best;
}

/// The highest precision among thresholds that recall at least the fraction `recall` of the sites,
/// as `PrecisionAtRecall`, and its threshold; of several equally precise, the highest. Without
/// sites the threshold is infinity and the precision 0. Throws InputError unless 0 < recall <= 1.
inline OperatingPoint precision_at_recall(Ranking const& ranking, double recall) {
  if (!(recall > 0 && recall <= 1)) {
    throw InputError{"precision at recall: expected a recall above 0 and at most 1, found " +
                     std::to_string(recall)};
  }
  auto best = OperatingPoint{.confusion = detail::confusion(ranking, 0, 0)};
  ranking.for_each_threshold([&](std::uint64_t tp, std::uint64_t fp, float threshold) {
    if (tp == 0 || detail::rate(tp, ranking.positives()) < recall) return;
    auto const precision = detail::rate(tp, tp + fp);
    if (precision > best.value) {
      best = {threshold, precision, detail::confusion(ranking, tp, fp)};
    }
  });
  return best;
}

}  // namespace qlora::inline v1::metrics
