/// Training that stops between two steps and goes on later as if it never had.
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

#include <cstdint>
#include <functional>
#include <optional>
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
};

/// What training goes on from, and when its state is wanted.
template <class A>
struct Checkpointing {
  std::optional<TrainingState<A>> from = {};
  /// Asked after each step; `ends_epoch` says that it was the last of one.
  std::function<bool(std::int64_t steps, bool ends_epoch)> due = {};
  /// Given the state where it is due. What it throws ends the training.
  std::function<void(TrainingState<A>)> save = {};
};

}  // namespace qlora::inline v1
