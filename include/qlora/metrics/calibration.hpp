/// From margins to probabilities: log-odds that are a line in the margin, either known (the prior
/// correction of class weights) or fitted on validation data (Platt and temperature scaling).
///
///     auto const fit = metrics::platt_scaling(validation);
///     auto const p = fit.log_odds.probability(logit1 - logit0);
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <string>

#include <qlora/core/error.hpp>
#include <qlora/metrics/logistic_regression.hpp>
#include <qlora/metrics/ranking.hpp>

namespace qlora::inline v1::metrics {

/// What training with class weights {w_0, w_1} added to the log-odds, log(w_1 / w_0), taken off
/// again (Elkan, "The foundations of cost-sensitive learning", 2001, theorem 2). Throws InputError
/// unless both are positive.
inline LogOdds prior_correction(std::array<double, 2> const& class_weights) {
  auto const ratio = class_weights[1] / class_weights[0];
  if (!(class_weights[0] > 0 && ratio > 0 && std::isfinite(ratio))) {
    throw InputError{"prior correction: expected positive class weights, found " +
                     std::to_string(class_weights[0]) + " and " + std::to_string(class_weights[1])};
  }
  return {1, -std::log(ratio)};
}

/// How a fit ended.
enum class FitOutcome {
  fitted,        ///< at the largest likelihood
  separated,     ///< a threshold parts the classes, so that the likelihood has no maximum
  constant,      ///< there is one margin only: the slope stays 1
  single_class,  ///< a class is absent: slope and intercept are not numbers
};

struct CalibrationFit {
  LogOdds log_odds;
  FitOutcome outcome = FitOutcome::fitted;
};

namespace detail {

inline CalibrationFit calibrate(Ranking const& ranking, double offset, Intercept intercept) {
  auto const sites = static_cast<double>(ranking.positives());
  auto const others = static_cast<double>(ranking.negatives());
  if (sites == 0 || others == 0) {
    auto const nan = std::numeric_limits<double>::quiet_NaN();
    return {{nan, nan}, FitOutcome::single_class};
  }
  auto const regression = LogisticRegression{ranking, offset, intercept};
  if (regression.constant()) {
    // With an intercept, the rate of sites; without one every x is 0 and any slope does.
    auto const margin = double{ranking.positive_scores().front()};
    return {{1, intercept == Intercept::none ? offset : std::log(sites / others) - margin},
            FitOutcome::constant};
  }
  if (regression.separated()) {
    return {regression.fit({1 / (others + 2), (sites + 1) / (sites + 2)}), FitOutcome::separated};
  }
  return {regression.fit({0, 1}), FitOutcome::fitted};
}

}  // namespace detail

/// Slope and intercept by unpenalised logistic regression of the labels on the margin (Platt,
/// "Probabilistic outputs for support vector machines", 1999). Where a threshold separates the
/// classes, the slope would grow without bound; labels are then Platt's smoothed targets, 1 / (N_0
/// + 2) and (N_1 + 1) / (N_1 + 2), whose fit is finite, and the outcome says so. Needs a finished
/// ranking.
inline CalibrationFit platt_scaling(Ranking const& ranking) {
  return detail::calibrate(ranking, 0, detail::Intercept::fitted);
}

/// The slope 1 / T alone, of log-odds (offset + margin) / T (Guo et al., "On calibration of modern
/// neural networks", 2017). `offset` moves even odds to where they belong, as the intercept of
/// `prior_correction` does. Classes separated at even odds are treated as in `platt_scaling`. Needs
/// a finished ranking.
inline CalibrationFit temperature_scaling(Ranking const& ranking, double offset = 0) {
  return detail::calibrate(ranking, offset, detail::Intercept::none);
}

}  // namespace qlora::inline v1::metrics
