/// Arms compared where they fit their training data equally well, instead of after equally many
/// epochs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>

namespace qlora::inline v1::metrics {

/// Where along its evaluations an arm's training loss first came down to a level: between
/// evaluation `after - 1` and `after`.
struct Crossing {
  std::size_t after = 0;
  double weight = 1;  ///< of evaluation `after`; 1 - weight belongs to the one before

  /// A value of each evaluation, linear in the loss between the two: a metric, or its value in one
  /// group.
  double operator()(std::span<double const> values) const {
    if (weight == 1) return values[after];
    return (1 - weight) * values[after - 1] + weight * values[after];
  }
};

/// Where `losses`, of consecutive evaluations, first reach `level`; none if they never do, or were
/// below it from the start: nothing is extrapolated.
inline std::optional<Crossing> first_crossing(std::span<double const> losses, double level) {
  auto const reached = std::ranges::find_if(losses, [&](double loss) { return loss <= level; });
  if (reached == losses.end()) return std::nullopt;
  auto const after = static_cast<std::size_t>(reached - losses.begin());
  if (*reached == level) return Crossing{after, 1};
  if (after == 0) return std::nullopt;
  auto const before = losses[after - 1];
  if (std::isnan(before)) return std::nullopt;
  return Crossing{after, (before - level) / (before - *reached)};
}

/// Training loss and a metric at each evaluation of an arm, in order.
struct LossHistory {
  std::vector<double> losses, values;  // (evaluations)
};

struct EqualLoss {
  double level;           ///< the lowest training loss that both arms reached
  double arm, reference;  ///< their metric there
  double difference() const { return arm - reference; }
};

/// The metric of two arms at the lowest training loss that both reached. Not numbers where one arm
/// was below that loss from the start. Throws ShapeError unless each loss has its value.
inline EqualLoss at_equal_loss(LossHistory const& arm, LossHistory const& reference) {
  for (auto const* const history : {&arm, &reference}) {
    if (history->losses.empty() || history->losses.size() != history->values.size())
      throw ShapeError{"equal loss: expected a value for each of at least one loss, found " +
                       std::to_string(history->values.size()) + " for " +
                       std::to_string(history->losses.size())};
  }
  auto const level = std::max(std::ranges::min(arm.losses), std::ranges::min(reference.losses));
  auto const at = [&](LossHistory const& history) {
    auto const crossing = first_crossing(history.losses, level);
    return crossing ? (*crossing)(history.values) : std::numeric_limits<double>::quiet_NaN();
  };
  return {level, at(arm), at(reference)};
}

}  // namespace qlora::inline v1::metrics
