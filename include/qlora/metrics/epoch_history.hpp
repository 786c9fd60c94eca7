/// What a run left after each epoch, and two runs compared where their training losses are equal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/metrics/equal_loss.hpp>

namespace qlora::inline v1::metrics {

/// What two runs are compared by must be measured as they then are: the mean over an epoch's steps,
/// which a training log has, lags behind the faster a run learns, and is under dropout.
struct EpochHistory {
  std::vector<double> losses;               // (epochs), on training data, after the epoch
  std::vector<double> held_out_losses;      // (epochs), of the split that is reported on
  std::vector<std::vector<double>> groups;  // (epochs, groups), a metric of that split

  std::size_t epochs() const { return losses.size(); }
};

/// A run at some training loss; not numbers where it was below that from its first epoch.
struct AtLoss {
  double held_out_loss = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> groups;  // (groups)
};

/// Linear in the loss between the epochs around its first crossing. Throws ShapeError unless every
/// epoch has its values.
inline AtLoss at_loss(EpochHistory const& history, double level) {
  auto const epochs = history.epochs();
  if (epochs == 0 || history.held_out_losses.size() != epochs || history.groups.size() != epochs) {
    throw ShapeError{"epoch history: expected values of each of at least one epoch, found " +
                     std::to_string(epochs) + " losses, " +
                     std::to_string(history.held_out_losses.size()) + " held-out losses and " +
                     std::to_string(history.groups.size()) + " rows of groups"};
  }
  auto result = AtLoss{};
  result.groups.assign(history.groups.front().size(), std::numeric_limits<double>::quiet_NaN());
  auto const crossing = first_crossing(history.losses, level);
  if (!crossing) return result;
  result.held_out_loss = (*crossing)(history.held_out_losses);
  auto of_group = std::vector<double>(epochs);
  for (std::size_t g = 0; g < result.groups.size(); ++g) {
    for (std::size_t e = 0; e < epochs; ++e) of_group[e] = history.groups[e].at(g);
    result.groups[g] = (*crossing)(of_group);
  }
  return result;
}

struct RunsAtEqualLoss {
  double level = 0;  ///< the lowest training loss that both runs reached
  AtLoss arm, reference;
};

inline RunsAtEqualLoss at_equal_loss(EpochHistory const& arm, EpochHistory const& reference) {
  if (arm.losses.empty() || reference.losses.empty()) {
    throw ShapeError{"epoch history: expected at least one epoch of both runs, found none"};
  }
  auto const level = std::max(std::ranges::min(arm.losses), std::ranges::min(reference.losses));
  return {level, at_loss(arm, level), at_loss(reference, level)};
}

}  // namespace qlora::inline v1::metrics
