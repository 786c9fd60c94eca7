/// What validation data decide for later predictions: where to call a residue a site, and how
/// probable a site is. Neither is fitted to the data it is judged on.
///
///     auto const decision = metrics::decide(validation);
///     if (decision) auto const applied = metrics::apply(*decision, test);
#pragma once

#include <cstddef>
#include <optional>

#include <qlora/metrics/calibration.hpp>
#include <qlora/metrics/confusion.hpp>
#include <qlora/metrics/curves.hpp>
#include <qlora/metrics/ranking.hpp>
#include <qlora/metrics/reliability.hpp>

namespace qlora::inline v1::metrics {

struct Decision {
  OperatingPoint mcc, f1;      ///< where each is largest on the validation data
  CalibrationFit calibration;  ///< Platt's
};

/// Nothing where a class is absent, or no threshold is better than calling no site at all. Needs a
/// finished ranking.
inline std::optional<Decision> decide(Ranking const& validation) {
  if (validation.positives() == 0 || validation.negatives() == 0) return std::nullopt;
  auto decision = Decision{.mcc = best_threshold<Mcc>(validation),
                           .f1 = best_threshold<F1>(validation),
                           .calibration = platt_scaling(validation)};
  if (!(decision.mcc.value > 0)) return std::nullopt;
  return decision;
}

/// A decision on other data.
struct AppliedDecision {
  Confusion at_mcc, at_f1;  ///< at the thresholds that were best for each
  double log_loss = 0, brier_score = 0, expected_calibration_error = 0;  ///< calibrated
};

/// Needs a finished ranking with a residue.
inline AppliedDecision apply(Decision const& decision, Ranking const& ranking,
                             std::size_t bins = 10) {
  auto const& log_odds = decision.calibration.log_odds;
  return {.at_mcc = confusion_at(ranking, decision.mcc.threshold),
          .at_f1 = confusion_at(ranking, decision.f1.threshold),
          .log_loss = log_loss(ranking, log_odds),
          .brier_score = brier_score(ranking, log_odds),
          .expected_calibration_error =
              expected_calibration_error(reliability_curve(ranking, log_odds, bins))};
}

}  // namespace qlora::inline v1::metrics
