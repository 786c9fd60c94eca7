/// What a report draws of a run, on the split that it reports on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <qlora/core/json.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/metrics/logistic_regression.hpp>
#include <qlora/metrics/ranking.hpp>
#include <qlora/metrics/reliability.hpp>

#include "files.hpp"

namespace qlora::cli {

/// Curves over the same places in every run, so that runs can be averaged.
struct RunCurves {
  static constexpr std::size_t places = 51;        ///< of rates and recalls, from 0 to 1
  static constexpr std::size_t loss_points = 200;  ///< at most

  std::vector<double> steps, losses;  ///< of training: means over stretches of steps
  std::vector<double> sensitivity;    // (places), at each false positive rate
  std::vector<double> precision;      // (places), at each recall
  std::vector<metrics::ReliabilityBin> calibration;
  std::vector<std::vector<float>> tracks;  ///< probabilities of the proteins that are shown

  /// Place number i, from 0 to 1.
  static double place(std::size_t i) {
    return static_cast<double>(i) / static_cast<double>(places - 1);
  }

  OrderedJson json() const;
  static RunCurves from_json(Json const& json);
};

/// Sets the curves of a finished ranking, its probabilities by these log-odds.
void add_ranking(RunCurves& curves, metrics::Ranking const& ranking,
                 metrics::LogOdds const& log_odds);

/// Sets the curve of losses at these steps.
void add_losses(RunCurves& curves, std::span<double const> steps, std::span<double const> losses);

/// Up to `count` labelled proteins with sites that can be read residue by residue: of at most 600
/// residues, most of which are labelled, spread over the list.
std::vector<std::size_t> shown_proteins(std::span<Protein const> proteins, std::size_t count = 3);

}  // namespace qlora::cli
