/// What a run leaves of each group: a few numbers, from which a study is judged later.
///
///     auto grouped = metrics::GroupedScores{groups.of_protein, groups.names.size()};
///     for (...) grouped.add(protein, logits, labels);
///     auto const scores = grouped.scores();
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <qlora/metrics/confusion.hpp>
#include <qlora/metrics/groups.hpp>
#include <qlora/metrics/ranking.hpp>

namespace qlora::inline v1::metrics {

/// The recall, in percent, at which precision is reported beside average precision.
inline constexpr int fixed_recall_percent = 50;

struct GroupScores {
  std::vector<double> average_precision;    // (groups), not a number without both classes
  std::vector<double> precision_at_recall;  // (groups), at fixed_recall_percent, likewise
  std::vector<Confusion> confusion;         // (groups), at the argmax

  std::size_t size() const { return confusion.size(); }
  /// The study's endpoint: of the groups that have both classes.
  double mean_average_precision() const { return mean_over_groups(average_precision).mean; }
  friend bool operator==(GroupScores const&, GroupScores const&) = default;
};

/// The mean of a metric over the groups that have both classes. Of RandomOrder it is what average
/// precision averaged over groups is by chance.
template <Metric M>
requires std::same_as<typename M::Accumulator, Confusion>
double mean_where_both_classes(std::span<Confusion const> groups) {
  auto values = std::vector<double>{};
  for (auto const& group : groups) values.push_back(WhereBothClasses<M>::value(group));
  return mean_over_groups(values).mean;
}

/// Collects residues by group, in the memory of their margins.
class GroupedScores {
 public:
  /// As of Grouped.
  GroupedScores(std::vector<std::uint32_t> group_of, std::size_t groups)
      : rankings_{group_of, groups}, confusions_{std::move(group_of), groups} {}

  void add(Prediction const& prediction) {
    rankings_.add(prediction);
    confusions_.add(prediction);
  }
  /// Counts residues of one protein: logits (residues, 2) and a range of as many labels. Throws
  /// ShapeError if their sizes do not fit together.
  template <class Labels>
  void add(std::uint32_t protein, std::span<float const> logits, Labels const& labels) {
    for_each_residue(protein, logits, labels,
                     [&](Prediction const& prediction) { add(prediction); });
  }

  GroupScores scores() {
    rankings_.finish();
    auto const counts = confusions_.accumulators();
    return {.average_precision = rankings_.values<WhereBothClasses<AveragePrecision>>(),
            .precision_at_recall =
                rankings_.values<WhereBothClasses<PrecisionAtRecall<fixed_recall_percent>>>(),
            .confusion = {counts.begin(), counts.end()}};
  }

  /// All groups together, finished: for thresholds and calibration.
  Ranking pooled() const {
    auto all = Ranking{};
    for (auto const& ranking : rankings_.accumulators()) all.merge(ranking);
    all.finish();
    return all;
  }

 private:
  Grouped<Ranking> rankings_;
  Grouped<Confusion> confusions_;
};

}  // namespace qlora::inline v1::metrics
