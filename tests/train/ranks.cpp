// Ranks that train together do what one would do alone, but for the order of additions.
#include "support/ranks.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/esm2.hpp>

namespace qlora::together {
namespace {

using Study = Experiment<model::Dynamic, quant::Any, placement::Sites, CardMetrics,
                         backend::Cpu<EigenProducts>>;

/// What a rank, or one alone, leaves.
struct Trace {
  std::vector<StepRecord> steps;
  std::vector<float> parameters;
  std::vector<float> logits;
};

std::vector<Protein> const& proteins() {
  static auto const read = read_binding_sites(std::string{QLORA_TEST_DATA} + "/train/data.txt");
  return read;
}

Study study() {
  return Study::load(std::string{QLORA_TEST_DATA} + "/models/odd",
                     {.rank = 3, .dropout = .3f, .seed = 11}, quant::Any::parse("nf4"),
                     placement::Sites::of(AllLinear{}));
}

template <class C>
Trace trained(FitOptions const& options, C& communicator,
              Checkpointing<float> const& checkpointing = {}) {
  auto trace = Trace{};
  auto one = study();
  trace.steps = one.fit(
      proteins(), options, [](StepRecord const&) {}, [](std::int64_t) {}, checkpointing,
      communicator);
  auto const values = one.network().parameters().values();
  trace.parameters.assign(values.begin(), values.end());
  one.predict(
      proteins(),
      [&](std::size_t i, Matrix<float const> logits) {
        EXPECT_EQ(logits.rows(), std::ssize(proteins()[i].sequence));
        trace.logits.insert(trace.logits.end(), logits.data(), logits.data() + logits.size());
      },
      communicator);
  return trace;
}

std::vector<Trace> trained_by(int ranks, FitOptions const& options,
                              Checkpointing<float> const& checkpointing = {}) {
  auto traces = std::vector<Trace>(static_cast<std::size_t>(ranks));
  Ranks{ranks}.run([&](auto& member) {
    traces[static_cast<std::size_t>(member.rank())] = trained(options, member, checkpointing);
  });
  return traces;
}

void expect_same(Trace const& a, Trace const& b) {
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (auto i = std::size_t{0}; i < a.steps.size(); ++i) {
    EXPECT_EQ(a.steps[i].loss, b.steps[i].loss) << "step " << i + 1;
    EXPECT_EQ(a.steps[i].gradient_norm, b.steps[i].gradient_norm) << "step " << i + 1;
  }
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.logits, b.logits);
}

void expect_near(Trace const& a, Trace const& b) {
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (auto i = std::size_t{0}; i < a.steps.size(); ++i) {
    EXPECT_NEAR(a.steps[i].loss, b.steps[i].loss, 1e-6) << "step " << i + 1;
    EXPECT_EQ(a.steps[i].tokens, b.steps[i].tokens);
    EXPECT_EQ(a.steps[i].learning_rate, b.steps[i].learning_rate);
  }
}

auto const packed = FitOptions{.epochs = 2, .learning_rate = 1e-3, .batch = {.tokens = 300}};
auto const accumulated =
    FitOptions{.epochs = 2, .learning_rate = 1e-3, .batch = {.sequences = 5}, .accumulate = 2};

TEST(TrainingRanks, DoAsOneAlone) {
  for (auto const& options : {packed, accumulated}) {
    auto self = dist::Self{};
    auto const alone = trained(options, self);
    // With nine there are more than most steps have records.
    for (auto const ranks : {2, 3, 9}) {
      SCOPED_TRACE(std::to_string(ranks) + " ranks");
      auto const traces = trained_by(ranks, options);
      expect_near(traces.front(), alone);
      for (auto const& trace : traces) expect_same(trace, traces.front());
      expect_same(trained_by(ranks, options).front(), traces.front());
    }
  }
}

TEST(TrainingRanks, GoOnAfterAStop) {
  auto const whole = trained_by(2, packed);
  auto states = std::vector<TrainingState<float>>(2);
  auto saving =
      Checkpointing<float>{.due = [](std::int64_t steps, bool) { return steps == 3; }, .save = {}};
  Ranks{2}.run([&](auto& member) {
    auto own = saving;
    own.save = [&](TrainingState<float> const& state) {
      states[static_cast<std::size_t>(member.rank())] = state;
    };
    trained(packed, member, own);
  });
  EXPECT_EQ(states[0].parameters, states[1].parameters);
  auto const rest = trained_by(2, packed, {.from = states[0]});
  EXPECT_EQ(rest.front().parameters, whole.front().parameters);
}

TEST(TrainingRanks, SkipAStepTogether) {
  auto const broken = [&](auto& communicator) {
    auto one = study();
    auto const values = one.network().parameters().values();
    auto skipped = 0;
    auto const spoil = [&](StepRecord const& step) {
      if (communicator.rank() == 1) values[0] = std::numeric_limits<float>::quiet_NaN();
      skipped += step.skipped ? 1 : 0;
    };
    auto options = packed;
    options.epochs = 3;  // more steps than it has patience for
    EXPECT_THROW(one.fit(
                     proteins(), options, spoil, [](std::int64_t) {}, {}, communicator),
                 DivergedError);
    return skipped;
  };
  Ranks{2}.run([&](auto& member) { EXPECT_EQ(broken(member), 9); });
}

/// As ranks on processors of different kinds may, after a while.
TEST(TrainingRanks, NoticeThatTheirParametersDiffer) {
  auto const error_after = [](auto& member, std::int64_t changed, std::int64_t due) {
    auto one = study();
    auto const values = one.network().parameters().values();
    auto const change = [&](std::int64_t step) {
      if (member.rank() == 1 && step == changed) values[3] += 1e-6f;
    };
    auto saved = 0;
    change(0);
    try {
      one.fit(
          proteins(), packed, [&](StepRecord const& step) { change(step.step); },
          [](std::int64_t) {},
          Checkpointing<float>{.due = [&](std::int64_t step, bool) { return step == due; },
                               .save = [&](TrainingState<float> const&) { ++saved; }},
          member);
    } catch (SystemError const& error) {
      EXPECT_EQ(saved, 0);
      return std::string{error.what()};
    }
    EXPECT_EQ(saved, 1);
    return std::string{};
  };
  Ranks{3}.run([&](auto& member) {
    EXPECT_EQ(error_after(member, 0, 2),
              "step 0: expected the same parameters on all ranks, found others on rank 1 than on "
              "rank 0; ranks want the same model, and processors of one kind");
    EXPECT_EQ(error_after(member, 2, 4).substr(0, 6), "step 4");
    EXPECT_NE(error_after(member, 2, -1), "");  // at the end
    EXPECT_EQ(error_after(member, -1, 2), "");
  });
}

}  // namespace
}  // namespace qlora::together
