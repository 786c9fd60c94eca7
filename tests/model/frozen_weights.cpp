#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/scalar.hpp>
#include <qlora/model/frozen_weights.hpp>

#include "model/variants.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

using testing::models;
using testing::TemporaryFolder;
using testing::Tensors;
using testing::variant_of;

auto const key = Site{1, SiteKind::key};

std::vector<float> expanded(ModelFolder const& folder, Site site = key) {
  auto const values = full_weight(folder, weight_shape(folder.config().shape, site));
  return {values.data(), values.data() + values.size()};
}

TEST(FullWeight, ReturnsWhatIsNotQuantized) {
  auto const folder = ModelFolder{models / "odd"};
  auto const stored = std::get<FullWeight>(folder.weight(key));
  auto const& values = stored.values;
  EXPECT_EQ(expanded(folder), std::vector<float>(values.data(), values.data() + values.size()));
}

TEST(FullWeight, ExpandsWhatIs) {
  auto const original = expanded(ModelFolder{models / "tiny"});
  for (auto const& [model, tolerance] :
       {std::pair{"tiny_nf4", .5f}, {"tiny_fp4", .5f}, {"tiny_int8", .02f}}) {
    auto const found = expanded(ModelFolder{models / model});
    ASSERT_EQ(found.size(), original.size());
    EXPECT_NE(found, original);
    for (auto i = std::size_t{0}; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], original[i], tolerance * std::fabs(original[i]) + .1f) << model;
    }
  }
  auto const head = ModelFolder{models / "tiny_nf4_head"};
  EXPECT_EQ(expanded(head, head.classifier_site()).size(), 2u * 64u);
}

/// bitsandbytes' dequantize_4bit does so too: tests/quant/quantize.cpp compares the numbers.
TEST(FullWeight, RoundsToTheTypeThatWasQuantized) {
  auto const state = "esm.encoder.layer.1.attention.self.key.weight.quant_state.bitsandbytes__nf4";
  auto const exact = expanded(ModelFolder{models / "tiny_nf4"});
  auto const temporary = TemporaryFolder{};
  auto const expanded_from = [&](char const* dtype) {
    return expanded(ModelFolder{variant_of(temporary, "tiny_nf4", [&](Tensors& tensors) {
      tensors.replace_text(state, "\"dtype\": \"float32\"",
                           "\"dtype\": \"" + std::string{dtype} + "\"");
    })});
  };
  auto const wide = expanded_from("bfloat16");
  auto const narrow = expanded_from("float16");
  EXPECT_NE(wide, exact);
  for (auto i = std::size_t{0}; i < exact.size(); ++i) {
    ASSERT_EQ(wide[i], static_cast<float>(bf16{exact[i]}));
    ASSERT_EQ(narrow[i], round_to_half(exact[i]));
  }
}

}  // namespace
}  // namespace qlora
