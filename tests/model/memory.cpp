// The plan of a run's memory against the memory of real models.
#include <cstddef>

#include <gtest/gtest.h>

#include <qlora/backend/cpu.hpp>
#include <qlora/model/memory.hpp>
#include <qlora/model/sizes.hpp>
#include <qlora/quant/any.hpp>

#include "support/golden.hpp"

namespace qlora::test {
namespace {

using placement::Sites;

template <class T>
void expect_plan(quant::Any const& scheme, Sites const& placement, Keep keep) {
  using B = backend::Cpu<EigenProducts, T>;
  constexpr auto tokens = Index{77};
  auto const shape = golden_shape("odd");
  auto const lora = LoraOptions{.rank = 3};
  auto source = GoldenModel{"odd", scheme};
  auto model = Esm2<B, Quantized<quant::Any>>{shape, source, placement, lora};
  model.reserve(tokens, keep);
  auto frozen = Index{0};
  for (auto const& layer : model.layers()) {
    for (auto const* linear : {&layer.qkv, &layer.out, &layer.up, &layer.down}) {
      for (auto const& weight : linear->weights()) frozen += weight.bytes();
    }
  }

  auto const plan = plan_memory<B>(shape, scheme, placement, lora, tokens, keep);
  EXPECT_EQ(plan.frozen_bytes, static_cast<std::size_t>(frozen)) << scheme.name;
  EXPECT_EQ(plan.activation_bytes, model.activation_bytes());
  EXPECT_EQ(plan.trainable_parameters, model.parameters().size());
  EXPECT_EQ(plan.trained_bytes, static_cast<std::size_t>(model.parameters().size()) * 16);
}

TEST(Memory, IsWhatAModelTakes) {
  for (auto const* const name : {"none", "nf4", "fp4", "int8"}) {
    expect_plan<float>(quant::Any::parse(name), Sites::of(AllLinear{}), Keep::everything);
  }
  expect_plan<float>(Nf4<64>{}, Sites::of(Qkv{}), Keep::inputs);
  expect_plan<float>(Nf4<64>{}, Sites::of(CardLiteral{}), Keep::nothing);
  expect_plan<bf16>(Nf4<64>{}, Sites::of(HeadOnly{}), Keep::everything);
}

TEST(Memory, NeedsNoWeights) {
  using B = backend::Cpu<EigenProducts>;
  auto const plan = plan_memory<B>(model::shape_of<esm2::T48_15B>(), Nf4<64>{}, Qkv{}, {.rank = 2},
                                   16'384, Keep::everything);
  // 12 d^2 a layer at 4 bits, and a byte for the scale of each block of 64.
  auto const matrices = 12. * 5120 * 5120 * 48;
  EXPECT_NEAR(static_cast<double>(plan.frozen_bytes), matrices * (.5 + 1. / 64), 2e-3 * matrices);
  EXPECT_EQ(plan.base_parameters, 15'102'868'480);
  EXPECT_EQ(plan.trainable_parameters, Index{48} * 6 * 2 * 5120 + Index{2} * 5120 + 2);
}

}  // namespace
}  // namespace qlora::test
