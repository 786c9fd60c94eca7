/// Training that stops between two steps, or within one, and goes on later as if it never had.
///
///     auto checkpointing = Checkpointing<float>{};
///     checkpointing.due = [](std::int64_t steps, bool) { return steps % 100 == 0; };
///     checkpointing.save = [&](TrainingState<float> state) { kept = std::move(state); };
///     study.fit(train, options, on_step, on_epoch, checkpointing);
///     ...
///     study.fit(train, options, on_step, on_epoch, {.from = kept});  // from there on
///
/// Nothing else is needed: order, batches and dropout masks depend on the seed, the epoch and the
/// step alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qlora::inline v1 {

/// What training is between two steps. Where `steps` ends an epoch, what follows that epoch
/// (`on_epoch`) is still to come.
template <class A>
struct TrainingState {
  std::int64_t steps = 0;     ///< that lie behind
  int failures = 0;           ///< of these, the last ones in a row that were not finite
  std::int64_t updates = 0;   ///< of the parameters
  std::vector<A> parameters;  ///< as `Parameters::values()` has them, and so the others
  std::vector<A> first_moments, second_moments;

  /// Whether there is something to go on from: no NaN and no infinity, which would stay for ever.
  bool is_finite() const {
    auto const finite = [](std::vector<A> const& values) {
      return std::ranges::all_of(values, [](A value) { return std::isfinite(value); });
    };
    return finite(parameters) && finite(first_moments) && finite(second_moments);
  }
};

/// What training goes on from, when its state is wanted, and whether it is to stop.
template <class A>
struct Checkpointing {
  std::optional<TrainingState<A>> from = {};
  std::string name = "checkpoint";  ///< of `from`, in messages
  /// Asked after each step; `ends_epoch` says that it was the last of one.
  std::function<bool(std::int64_t steps, bool ends_epoch)> due = {};
  /// Given the state where it is due. What it throws ends the training.
  std::function<void(TrainingState<A>)> save = {};
  /// Asked within a step, where one process trains: before each pass, and before each layer where
  /// the backend does not queue its work. Where it says so, the step is dropped, `save` is given
  /// the state before it, and training ends. Before the first step of an epoch, `on_epoch` has
  /// followed the one before, and follows it once more for who goes on from that state.
  std::function<bool()> stop = {};
};

}  // namespace qlora::inline v1
