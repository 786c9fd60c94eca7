/// How far probabilities are what they say: reliability curve, Brier score, log loss, expected
/// calibration error. Each is of a ranking (finished or not) under log-odds that are a line in the
/// margin.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/metrics/logistic_regression.hpp>
#include <qlora/metrics/loss.hpp>
#include <qlora/metrics/quantile.hpp>
#include <qlora/metrics/ranking.hpp>

namespace qlora::inline v1::metrics {

/// Bins of equal width, or of about equally many residues.
enum class Bins { uniform, quantile };

/// A bin with at least one residue.
struct ReliabilityBin {
  double predicted = 0;  ///< mean probability
  double observed = 0;   ///< fraction of sites
  std::uint64_t residues = 0;
};

namespace detail {

/// The mean of term(margin, label) over the residues; not a number without any.
template <class Term>
double mean_over(Ranking const& ranking, Term term) {
  auto sum = CompensatedSum{};
  for (auto const score : ranking.positive_scores()) sum += term(double{score}, 1.);
  for (auto const score : ranking.negative_scores()) sum += term(double{score}, 0.);
  return sum.value() / static_cast<double>(ranking.positives() + ranking.negatives());
}

}  // namespace detail

/// scikit-learn's `calibration_curve`, with the number of residues: bins by ascending probability,
/// those without residues left out; a probability on an edge falls into the lower bin. Throws
/// InputError unless there is a bin to fill.
inline std::vector<ReliabilityBin> reliability_curve(Ranking const& ranking,
                                                     LogOdds const& log_odds, std::size_t bins = 10,
                                                     Bins strategy = Bins::uniform) {
  if (bins == 0) throw InputError{"reliability curve: expected at least one bin, found 0"};
  auto const probabilities = [&](std::span<float const> scores) {
    auto values = std::vector<double>(scores.size());
    std::ranges::transform(scores, values.begin(),
                           [&](float score) { return log_odds.probability(double{score}); });
    return values;
  };
  auto const sites = probabilities(ranking.positive_scores());
  auto const others = probabilities(ranking.negative_scores());
  auto inner_edges = std::vector<double>{};
  auto all = std::vector<double>{};
  if (strategy == Bins::quantile) {
    all = sites;
    all.insert(all.end(), others.begin(), others.end());
    std::ranges::sort(all);
  }
  for (auto i = std::size_t{1}; i < bins; ++i) {
    // Rounded as numpy does, since a residue on an edge would show it.
    auto const fraction = static_cast<double>(i) * (1 / static_cast<double>(bins));
    inner_edges.push_back(strategy == Bins::uniform ? fraction
                                                    : quantile(all, fraction * 100 / 100));
  }
  auto counts = std::vector<ReliabilityBin>(bins);
  auto predicted = std::vector<CompensatedSum>(bins);
  auto const count = [&](std::vector<double> const& values, double label) {
    for (auto const value : values) {
      auto const bin = static_cast<std::size_t>(std::ranges::lower_bound(inner_edges, value) -
                                                inner_edges.begin());
      predicted[bin] += value;
      counts[bin].observed += label;
      ++counts[bin].residues;
    }
  };
  count(sites, 1.);
  count(others, 0.);
  for (auto i = std::size_t{0}; i < bins; ++i) {
    auto const residues = static_cast<double>(counts[i].residues);
    counts[i].predicted = predicted[i].value() / residues;
    counts[i].observed /= residues;
  }
  std::erase_if(counts, [](ReliabilityBin const& bin) { return bin.residues == 0; });
  return counts;
}

/// Mean distance of a bin's predicted from its observed rate, bins weighted by their residues
/// (Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015). Not a
/// number without residues.
inline double expected_calibration_error(std::span<ReliabilityBin const> bins) {
  auto sum = 0., residues = 0.;
  for (auto const& bin : bins) {
    sum += static_cast<double>(bin.residues) * std::abs(bin.predicted - bin.observed);
    residues += static_cast<double>(bin.residues);
  }
  return sum / residues;
}

/// Mean squared distance of the probability from the label (Brier, 1950). Not a number without
/// residues.
inline double brier_score(Ranking const& ranking, LogOdds const& log_odds) {
  return detail::mean_over(ranking, [&](double margin, double label) {
    auto const error = log_odds.probability(margin) - label;
    return error * error;
  });
}

/// Mean negative log-likelihood in nats, from the log-odds and thus finite. Not a number without
/// residues.
inline double log_loss(Ranking const& ranking, LogOdds const& log_odds) {
  return detail::mean_over(
      ranking, [&](double margin, double label) { return logistic_loss(log_odds(margin), label); });
}

}  // namespace qlora::inline v1::metrics
