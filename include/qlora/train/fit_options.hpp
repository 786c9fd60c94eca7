/// What a fit is: its steps, their size and the optimizer's numbers.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include <qlora/core/memory.hpp>
#include <qlora/core/option.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/train/class_weights.hpp>
#include <qlora/train/plan.hpp>
#include <qlora/train/schedule.hpp>

namespace qlora::inline v1 {

struct FitOptions {
  std::int64_t epochs = 3;
  double learning_rate = 1e-3;
  Schedule schedule = Schedule::cosine;
  std::int64_t warmup_steps = 0;
  double weight_decay = .01;  ///< of A, B and the classifier's weight, not of its bias
  double clip = 1.;           ///< of the gradients' global norm; 0 switches it off
  BatchOptions batch{};
  Index accumulate = 1;  ///< passes that share a step's records: less memory, the same step
  Order order = Order::shuffled;
  ClassWeighting class_weighting = ClassWeighting::balanced;
  std::array<double, 2> class_weights{1., 1.};  ///< for ClassWeighting::given
  Keep keep = Keep::everything;                 ///< or Keep::inputs, to save memory
};

/// Throws InputError for numbers that make no run.
inline void check(FitOptions const& options) {
  auto const not_negative = [](char const* name, double value) {
    expect_option(std::isfinite(value) && value >= 0., name, "a finite number, at least 0", value);
  };
  expect_option(options.epochs >= 1, "epochs", "at least 1", options.epochs);
  not_negative("learning_rate", options.learning_rate);
  expect_option(options.warmup_steps >= 0, "warmup_steps", "at least 0", options.warmup_steps);
  not_negative("weight_decay", options.weight_decay);
  not_negative("clip", options.clip);
  check(options.batch);
  expect_option(options.accumulate >= 1, "accumulate", "at least 1", options.accumulate);
}

}  // namespace qlora::inline v1
