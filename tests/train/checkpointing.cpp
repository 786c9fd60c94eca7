// Stopped after any step and gone on with, training is what it would have been, to the bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/esm2.hpp>

#include "support/errors.hpp"

namespace qlora {
namespace {

using Study = Experiment<model::Dynamic, quant::Any, placement::Sites, CardMetrics,
                         backend::Cpu<EigenProducts>>;
using State = TrainingState<float>;

struct Stop {};

struct Setting {
  std::string scheme;
  placement::Sites placement;
  FitOptions fit;
};

std::vector<Protein> proteins() {
  return read_binding_sites(std::string{QLORA_TEST_DATA} + "/train/data.txt");
}

Study study(Setting const& setting) {
  return Study::load(std::string{QLORA_TEST_DATA} + "/models/odd",
                     {.rank = 3, .dropout = .3f, .seed = 11}, quant::Any::parse(setting.scheme),
                     setting.placement);
}

/// What a run leaves.
struct Trace {
  std::vector<StepRecord> steps;
  std::vector<std::int64_t> epochs;
  std::vector<float> parameters;

  void run(Study& study, FitOptions const& options, Checkpointing<float> const& checkpointing) {
    study.fit(
        proteins(), options, [&](StepRecord const& step) { steps.push_back(step); },
        [&](std::int64_t epoch) { epochs.push_back(epoch); }, checkpointing);
    auto const values = study.network().parameters().values();
    parameters.assign(values.begin(), values.end());
  }
};

/// Stops after so many steps, in a new process so to say: another study goes on.
Trace interrupted(Setting const& setting, std::int64_t after) {
  auto trace = Trace{};
  auto kept = State{};
  auto stopping =
      Checkpointing<float>{.due = [&](std::int64_t steps, bool) { return steps == after; },
                           .save =
                               [&](State const& state) {
                                 kept = state;
                                 throw Stop{};
                               }};
  auto first = study(setting);
  EXPECT_THROW(trace.run(first, setting.fit, stopping), Stop);
  EXPECT_EQ(kept.steps, after);
  auto second = study(setting);
  trace.run(second, setting.fit, {.from = kept});
  return trace;
}

/// Stops when it is asked for that time, likewise.
Trace stopped(Setting const& setting, int question) {
  auto trace = Trace{};
  auto kept = State{};
  auto first = study(setting);
  trace.run(
      first, setting.fit,
      {.save = [&](State const& state) { kept = state; }, .stop = [&] { return --question == 0; }});
  EXPECT_EQ(kept.steps, static_cast<std::int64_t>(trace.steps.size()));
  auto second = study(setting);
  trace.run(second, setting.fit, {.from = kept});
  // What follows an epoch may follow it twice.
  auto const repeated = std::ranges::unique(trace.epochs);
  trace.epochs.erase(repeated.begin(), repeated.end());
  return trace;
}

void expect_same(Trace const& whole, Trace const& parts, std::int64_t after) {
  SCOPED_TRACE("stopped after " + std::to_string(after));
  ASSERT_EQ(parts.steps.size(), whole.steps.size());
  for (auto i = std::size_t{0}; i < whole.steps.size(); ++i) {
    EXPECT_EQ(parts.steps[i].step, whole.steps[i].step);
    EXPECT_EQ(parts.steps[i].epoch, whole.steps[i].epoch);
    EXPECT_EQ(parts.steps[i].loss, whole.steps[i].loss);
    EXPECT_EQ(parts.steps[i].gradient_norm, whole.steps[i].gradient_norm);
    EXPECT_EQ(parts.steps[i].learning_rate, whole.steps[i].learning_rate);
    EXPECT_EQ(parts.steps[i].tokens, whole.steps[i].tokens);
  }
  EXPECT_EQ(parts.epochs, whole.epochs);
  EXPECT_EQ(parts.parameters, whole.parameters);
}

TEST(Checkpointing, GoesOnAfterAnyStep) {
  auto const packed = FitOptions{.epochs = 2, .learning_rate = 1e-2, .batch = {.tokens = 150}};
  auto accumulated = packed;
  accumulated.batch = {.sequences = 5};
  accumulated.accumulate = 2;
  accumulated.keep = Keep::inputs;
  accumulated.schedule = Schedule::linear;
  using placement::Sites;
  for (auto const& setting :
       {Setting{"nf4", Sites::of(AllLinear{}), packed}, Setting{"int8", Sites::of(Qkv{}), packed},
        Setting{"none", Sites::of(CardLiteral{}), accumulated},
        Setting{"fp4", Sites::of(HeadOnly{}), packed}}) {
    SCOPED_TRACE(setting.scheme);
    auto whole = Trace{};
    auto uninterrupted = study(setting);
    whole.run(uninterrupted, setting.fit, {});
    auto const steps = static_cast<std::int64_t>(whole.steps.size());
    ASSERT_GE(steps, 4);
    for (auto after = std::int64_t{1}; after <= steps; ++after) {
      expect_same(whole, interrupted(setting, after), after);
    }
  }
}

TEST(Checkpointing, DropsAStepWithinWhichItStops) {
  auto const setting = Setting{"nf4",
                               placement::Sites::of(AllLinear{}),
                               {.epochs = 2,
                                .learning_rate = 1e-2,
                                .batch = {.sequences = 15},
                                .accumulate = 2,
                                .keep = Keep::inputs}};
  auto whole = Trace{};
  auto questions = 0;
  auto uninterrupted = study(setting);
  whole.run(uninterrupted, setting.fit, {.stop = [&] { return ++questions == 0; }});
  auto const passes = 2 * static_cast<int>(whole.steps.size());
  auto const layers = static_cast<int>(uninterrupted.network().shape().layers);
  EXPECT_EQ(questions, passes * (1 + 2 * layers));
  auto const epoch = questions / 2;
  for (auto const question : {1, 4, epoch / 2 + 2, epoch, epoch + 1, questions}) {
    expect_same(whole, stopped(setting, question), question);
  }
}

/// A finite gradient may make an update that is not.
TEST(Checkpointing, KeepsNoStateThatIsNotFinite) {
  auto const setting =
      Setting{"none",
              placement::Sites::of(Qkv{}),
              {.epochs = 1, .learning_rate = 1e38, .weight_decay = 10., .batch = {.tokens = 500}}};
  auto diverging = study(setting);
  auto trace = Trace{};
  auto const sentence = testing::message_of<DivergedError>([&] {
    trace.run(diverging, setting.fit,
              {.due = [](std::int64_t, bool) { return true; },
               .save = [](State const& state) { EXPECT_TRUE(state.is_finite()); }});
  });
  EXPECT_TRUE(std::isfinite(trace.steps.back().loss));
  EXPECT_NE(sentence.find("expected finite parameters"), std::string::npos) << sentence;
}

/// Every placement on every kind of base; tests/cli/resume.cpp does so in bf16.
TEST(Checkpointing, GoesOnWithEveryArm) {
  using placement::Sites;
  for (auto const* const scheme : {"none", "nf4", "fp4", "int8"}) {
    for (auto const& sites : {Sites::of(Qkv{}), Sites::of(AllLinear{}), Sites::of(CardLiteral{}),
                              Sites::of(HeadOnly{})}) {
      SCOPED_TRACE(std::string{scheme} + " " + sites.name);
      auto const setting =
          Setting{scheme, sites, {.epochs = 1, .learning_rate = 1e-2, .batch = {.tokens = 500}}};
      auto whole = Trace{};
      auto uninterrupted = study(setting);
      whole.run(uninterrupted, setting.fit, {});
      ASSERT_GT(whole.steps.size(), 1u);
      expect_same(whole, interrupted(setting, 1), 1);
    }
  }
}

/// Being looked at changes nothing.
TEST(Checkpointing, MayBeDueAfterEveryStep) {
  auto const setting =
      Setting{"nf4", placement::Sites::of(Qkv{}), {.epochs = 2, .batch = {.tokens = 150}}};
  auto whole = Trace{};
  auto plain = study(setting);
  whole.run(plain, setting.fit, {});
  auto states = std::vector<State>{};
  auto ends = std::vector<std::int64_t>{};
  auto watched = Trace{};
  auto other = study(setting);
  watched.run(other, setting.fit,
              {.due =
                   [&](std::int64_t steps, bool ends_epoch) {
                     if (ends_epoch) ends.push_back(steps);
                     return true;
                   },
               .save = [&](State const& state) { states.push_back(state); }});
  expect_same(whole, watched, 0);
  ASSERT_EQ(states.size(), whole.steps.size());
  EXPECT_EQ(states.back().parameters, whole.parameters);
  EXPECT_EQ(states.back().updates, states.back().steps);
  auto const steps = static_cast<std::int64_t>(whole.steps.size());
  EXPECT_EQ(ends, (std::vector<std::int64_t>{steps / 2, steps}));
}

TEST(Checkpointing, RefusesAStateOfAnotherRun) {
  auto const setting =
      Setting{"none", placement::Sites::of(Qkv{}), {.epochs = 1, .batch = {.tokens = 150}}};
  auto state = State{};
  auto trace = Trace{};
  auto first = study(setting);
  trace.run(first, setting.fit,
            {.due = [](std::int64_t steps, bool) { return steps == 1; },
             .save = [&](State const& saved) { state = saved; }});
  auto const refused = [&](State const& changed) {
    return testing::message_of<InputError>([&] {
      auto other = study(setting);
      trace.run(other, setting.fit, {.from = changed});
    });
  };
  auto far = state;
  far.steps = 1000;
  EXPECT_EQ(refused(far).find("checkpoint: steps: expected at most "), 0u) << refused(far);
  auto busy = state;
  busy.updates = 2;  // in one step
  EXPECT_EQ(refused(busy).find("checkpoint: updates: expected at most 1"), 0u) << refused(busy);
  auto small = state;
  small.second_moments.pop_back();
  EXPECT_EQ(refused(small).find("checkpoint: parameters: expected "), 0u) << refused(small);
}

}  // namespace
}  // namespace qlora
