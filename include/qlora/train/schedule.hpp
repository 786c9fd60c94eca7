/// The learning rate over a run.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace qlora::inline v1 {

enum class Schedule { cosine, linear, constant };

/// Learning rate of step `step` (from 0) of `steps`: it rises linearly over the first `warmup`
/// steps, then falls to zero along a half cosine or a line, or stays. Evaluated at the step's
/// start, as the Hugging Face trainer does.
inline double learning_rate(Schedule schedule, double peak, std::int64_t step, std::int64_t steps,
                            std::int64_t warmup) {
  if (step < warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  if (schedule == Schedule::constant || steps <= warmup) return peak;
  auto const progress = static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
  return schedule == Schedule::linear ? peak * (1. - progress)
                                      : peak * .5 * (1. + std::cos(std::numbers::pi * progress));
}

}  // namespace qlora::inline v1
