/// Whole training steps of a small model on the CUDA backend against the CPU backend. Included
/// where there is a `Device`; see support/verbs.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cpu.hpp>
#include <qlora/data/read.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/train/inference.hpp>
#include <qlora/train/trainer.hpp>

#include "support/golden.hpp"

namespace qlora::test {
namespace {

using placement::Sites;

/// Eight proteins of up to 43 residues: threads are slow here.
std::vector<Protein> short_proteins() {
  auto proteins = std::vector<Protein>{};
  for (auto const& protein : read_binding_sites(golden_path("train/data.txt"))) {
    if (proteins.size() == 8) break;
    auto const size = std::min(protein.sequence.size(), 1 + 6 * proteins.size());
    proteins.push_back(
        {protein.id,
         protein.sequence.substr(0, size),
         {protein.labels.begin(), protein.labels.begin() + static_cast<std::ptrdiff_t>(size)}});
    proteins.back().labels.front() = static_cast<std::int8_t>(proteins.size() % 2);
  }
  return proteins;
}

/// Four steps each; under a sanitizer one tells as much, and the others take minutes on the CPU.
#if defined(EMULATION_ASAN) || defined(EMULATION_TSAN)
constexpr auto epochs = 1;
#else
constexpr auto epochs = 5;
#endif

/// Losses of a run, and the logits of its proteins afterwards.
struct Outcome {
  std::vector<double> losses;
  std::vector<float> logits;
};

template <class B>
Outcome run(quant::Any const& scheme, Sites const& placement, float dropout, Keep keep,
            std::int64_t passes = epochs, Checkpointing<float> const& checkpointing = {}) {
  auto backend = B{};
  auto source = GoldenModel{"odd", scheme};
  auto const lora = LoraOptions{.rank = 3, .alpha = 5.f, .dropout = dropout, .seed = 3};
  auto model =
      Esm2<B, Quantized<quant::Any, B::space>>{golden_shape("odd"), source, placement, lora};
  auto const proteins = short_proteins();
  auto const options = FitOptions{.epochs = passes,
                                  .learning_rate = 5e-3,
                                  .weight_decay = .1,
                                  .batch = {.sequences = 2},
                                  .order = Order::as_given,  // the same shapes again and again
                                  .keep = keep};
  auto outcome = Outcome{};
  auto trainer = Trainer{backend, model, std::span{proteins}, options};
  trainer.run(
      [&](StepRecord const& step) {
        EXPECT_GT(step.learning_rate, 0.);  // two that stand still would agree
        outcome.losses.push_back(step.loss);
      },
      [](std::int64_t) {}, checkpointing);
  for_each_logits(backend, model, proteins, 500, [&](std::size_t, Matrix<float const> logits) {
    outcome.logits.insert(outcome.logits.end(), logits.data(), logits.data() + logits.size());
  });
  return outcome;
}

void expect_same_training(quant::Any const& scheme, Sites const& placement, float dropout,
                          Keep keep) {
  auto const expected =
      run<backend::Cpu<EigenProducts, float>>(scheme, placement, dropout, Keep::everything);
  auto const found = run<Device::Backend<float>>(scheme, placement, dropout, keep);
  ASSERT_EQ(found.losses.size(), std::size_t{4} * epochs);
  for (auto i = std::size_t{0}; i < found.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], expected.losses[i], 1e-5) << "step " << i;
  }
  ASSERT_EQ(found.logits.size(), expected.logits.size());
  for (auto i = std::size_t{0}; i < found.logits.size(); ++i) {
    ASSERT_NEAR(found.logits[i], expected.logits[i], 1e-3) << i;
  }
}

class CudaTraining : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Device::available()) GTEST_SKIP() << "needs a device";
  }
};

TEST_F(CudaTraining, AgreesWithTheCpu) {
  expect_same_training({}, Sites::of(AllLinear{}), 0.f, Keep::everything);
}
TEST_F(CudaTraining, AgreesWithDropoutOn4Bits) {
  expect_same_training(Nf4<64>{}, Sites::of(AllLinear{}), .3f, Keep::everything);
}
TEST_F(CudaTraining, AgreesWhenActivationsAreComputedAgain) {
  expect_same_training(Nf4<64>{}, Sites::of(CardLiteral{}), .3f, Keep::inputs);
}

#if !defined(EMULATION_ASAN) && !defined(EMULATION_TSAN)  // which see each of its kernels elsewhere
TEST_F(CudaTraining, GoesOnFromAStateToTheBit) {
  auto const training = [](Checkpointing<float> const& checkpointing) {
    return run<Device::Backend<float>>(Nf4<64>{}, Sites::of(Qkv{}), .3f, Keep::everything, 2,
                                       checkpointing);
  };
  auto state = TrainingState<float>{};
  auto const whole = training({.due = [](std::int64_t steps, bool) { return steps == 3; },
                               .save = [&](TrainingState<float> const& saved) { state = saved; }});
  auto const expect_rest = [&] {
    auto const rest = training({.from = state});
    EXPECT_EQ(rest.losses, (std::vector(whole.losses.begin() + state.steps, whole.losses.end())));
    EXPECT_EQ(rest.logits, whole.logits);
  };
  expect_rest();
  auto asked = 0;  // and stopped within a step, while the one before is under way
  auto const stopped = training({.save = [&](TrainingState<float> const& saved) { state = saved; },
                                 .stop = [&] { return ++asked == 6; }});
  EXPECT_EQ(state.steps, 5);
  EXPECT_EQ(stopped.losses, (std::vector(whole.losses.begin(), whole.losses.begin() + 5)));
  expect_rest();
}
/// Both round to bf16, at the same places but after sums of another order.
TEST_F(CudaTraining, AgreesInBf16) {
  auto const placement = Sites::of(AllLinear{});
  auto const expected =
      run<backend::Cpu<EigenProducts, bf16>>(Nf4<64>{}, placement, .3f, Keep::everything, 3);
  auto const found = run<Device::Backend<bf16>>(Nf4<64>{}, placement, .3f, Keep::everything, 3);
  for (auto i = std::size_t{0}; i < expected.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], expected.losses[i], 3e-3) << "step " << i;
  }
}
#endif

}  // namespace
}  // namespace qlora::test
