/// Metrics of the ranking by margin (logit1 - logit0 in float). Residues of equal score enter a
/// curve together, as in scikit-learn, so that no value depends on the order of the input.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <qlora/metrics/metric.hpp>

namespace qlora::inline v1::metrics {

/// The scores of both classes: 4 bytes a residue.
class Ranking {
 public:
  void add(Prediction const& p) { add(p.positive(), p.margin(), 1); }
  /// So many residues of the same class and score.
  void add(bool positive, float margin, std::size_t times) {
    auto& scores = positive ? positives_ : negatives_;
    scores.insert(scores.end(), times, margin);
  }

  void merge(Ranking const& other) {
    positives_.insert(positives_.end(), other.positives_.begin(), other.positives_.end());
    negatives_.insert(negatives_.end(), other.negatives_.begin(), other.negatives_.end());
  }

  void finish() {
    for (auto* const scores : {&positives_, &negatives_}) {
      if (!std::ranges::is_sorted(*scores, std::greater{})) {
        std::ranges::sort(*scores, std::greater{});
      }
    }
  }

  std::uint64_t positives() const { return positives_.size(); }
  std::uint64_t negatives() const { return negatives_.size(); }

  /// Scores of each class, from the highest to the lowest after finish().
  std::span<float const> positive_scores() const { return positives_; }
  std::span<float const> negative_scores() const { return negatives_; }

  /// Calls visit(tp, fp, t), the counts of residues that score at least t, for each score t from
  /// the highest to the lowest. Needs finish() after the last residue.
  template <typename Visit>
  void for_each_threshold(Visit visit) const {
    auto positive = positives_.begin();
    auto negative = negatives_.begin();
    while (positive != positives_.end() || negative != negatives_.end()) {
      auto const threshold = positive == positives_.end()   ? *negative
                             : negative == negatives_.end() ? *positive
                                                            : std::max(*positive, *negative);
      while (positive != positives_.end() && *positive == threshold) ++positive;
      while (negative != negatives_.end() && *negative == threshold) ++negative;
      visit(static_cast<std::uint64_t>(positive - positives_.begin()),
            static_cast<std::uint64_t>(negative - negatives_.begin()), threshold);
    }
  }

 private:
  std::vector<float> positives_, negatives_;
};

/// Area under the ROC curve by trapezoids: the probability that a site outscores another residue, a
/// tie counting half. Summed in integers: exact while sites times others stay below 9e18. Not a
/// number where a class is absent.
struct RocAuc {
  static constexpr std::string_view name = "roc_auc";
  using Accumulator = Ranking;
  static double value(Ranking const& ranking) {
    if (ranking.positives() == 0 || ranking.negatives() == 0)
      return std::numeric_limits<double>::quiet_NaN();
    std::uint64_t twice_area = 0, last_tp = 0, last_fp = 0;
    ranking.for_each_threshold([&](std::uint64_t tp, std::uint64_t fp, float) {
      twice_area += (fp - last_fp) * (tp + last_tp);
      last_tp = tp;
      last_fp = fp;
    });
    return static_cast<double>(twice_area) / (2 * static_cast<double>(ranking.positives()) *
                                              static_cast<double>(ranking.negatives()));
  }
};

/// Mean of the precision over the sites, each at the threshold that admits it (no interpolation); 0
/// without sites.
struct AveragePrecision {
  static constexpr std::string_view name = "average_precision";
  using Accumulator = Ranking;
  static double value(Ranking const& ranking) {
    if (ranking.positives() == 0) return 0;
    double sum = 0;
    std::uint64_t last_tp = 0;
    ranking.for_each_threshold([&](std::uint64_t tp, std::uint64_t fp, float) {
      sum += static_cast<double>(tp - last_tp) * static_cast<double>(tp) /
             static_cast<double>(tp + fp);
      last_tp = tp;
    });
    return sum / static_cast<double>(ranking.positives());
  }
};

/// The highest precision among thresholds that recall at least Percent of the sites; 0 without
/// sites.
template <int Percent>
struct PrecisionAtRecall {
  static_assert(0 < Percent && Percent < 100, "a recall is given in percent, from 1 to 99");

 private:
  static constexpr auto spelled = [] {
    auto text = std::to_array("precision_at_recall_00");
    text[20] = static_cast<char>('0' + Percent / 10);
    text[21] = static_cast<char>('0' + Percent % 10);
    return text;
  }();

 public:
  static constexpr std::string_view name = {spelled.data(), spelled.size() - 1};
  using Accumulator = Ranking;
  static double value(Ranking const& ranking) {
    double best = 0;
    ranking.for_each_threshold([&](std::uint64_t tp, std::uint64_t fp, float) {
      if (100 * tp >= Percent * ranking.positives())
        best = std::max(best, static_cast<double>(tp) / static_cast<double>(tp + fp));
    });
    return best;
  }
};

}  // namespace qlora::inline v1::metrics
