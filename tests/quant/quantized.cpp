#include <string>

#include <gtest/gtest.h>

#include <qlora/quant/any.hpp>
#include <qlora/quant/quantize.hpp>

namespace qlora {
namespace {

quant::Parts<Space::host> parts(Index codes, Index scales, Index scale_codes = 0, Index nested = 0,
                                Index map = 0) {
  return {.codes = VectorTensor<std::uint8_t>{{codes}},
          .scales = VectorTensor<float>{{scales}},
          .scale_codes = VectorTensor<std::uint8_t>{{scale_codes}},
          .nested_scales = VectorTensor<float>{{nested}},
          .nested_map = VectorTensor<float>{{map}}};
}

template <class S>
std::string refusal(S scheme, quant::Parts<Space::host> parts) {
  try {
    auto const matrix = Quantized<S>{scheme, 30, 600, std::move(parts)};
  } catch (ShapeError const& error) {
    return error.what();
  }
  return "";
}

TEST(Quantized, ChecksTheSizesOfItsParts) {
  // 18000 elements in 282 blocks, the last one short, in 2 nested blocks
  EXPECT_EQ(refusal(Nf4<64>{}, parts(9000, 0, 282, 2, 256)), "");
  EXPECT_EQ(refusal(Nf4<64>{}, parts(9000, 282)), "");
  EXPECT_EQ(refusal(Nf4<64>{}, parts(8999, 282)),
            "nf4 matrix of 30x600: expected 9000 bytes of codes, got 8999");
  EXPECT_EQ(refusal(Nf4<64>{}, parts(9000, 281)),
            "nf4 matrix of 30x600: expected 282 scales, got 281");
  EXPECT_EQ(refusal(Nf4<64>{}, parts(9000, 282, 282, 2, 256)),
            "nf4 matrix of 30x600: expected 0 scales, got 282");
  EXPECT_NE(refusal(Nf4<64>{}, parts(9000, 0, 281, 2, 256)), "");
  EXPECT_NE(refusal(Nf4<64>{}, parts(9000, 0, 282, 1, 256)), "");
  EXPECT_NE(refusal(Nf4<64>{}, parts(9000, 0, 282, 2, 16)), "");
  EXPECT_EQ(refusal(Int8{}, parts(18000, 30)), "");
  EXPECT_NE(refusal(Int8{}, parts(18000, 600)), "");
  EXPECT_EQ(refusal(Full<bf16>{}, parts(36000, 0)), "");
  EXPECT_NE(refusal(Full<bf16>{}, parts(36000, 1)), "");
  EXPECT_EQ(refusal(quant::Any{Int8{}}, parts(18000, 30)), "");
  EXPECT_NE(refusal(quant::Any{Nf4<64>{}}, parts(18000, 30)), "");
}

TEST(Quantized, CountsItsBytes) {
  EXPECT_EQ((Quantized<Nf4<64>>{{}, 30, 600, parts(9000, 0, 282, 2, 256)}.bytes()),
            9000 + 282 + 4 * (2 + 256));
  EXPECT_EQ((Quantized<Int8>{{}, 30, 600, parts(18000, 30)}.bytes()), 18000 + 4 * 30);
}

TEST(Quantized, ShowsWeightsThatAreStoredAsTheyAre) {
  auto x = MatrixTensor<float>{{2, 3}};
  for (auto i = 0; i < 6; ++i) x.data()[i] = static_cast<float>(i) + .25f;
  auto const full = quantize(Full<float>{}, x);
  ASSERT_TRUE(full.plain<float>());
  EXPECT_EQ((*full.plain<float>())(1, 2), 5.25f);
  EXPECT_FALSE(full.plain<bf16>());
  EXPECT_FALSE(full.plain<double>());
  auto const halved = quantize(Full<bf16>{}, x);
  ASSERT_TRUE(halved.plain<bf16>());
  EXPECT_EQ((*halved.plain<bf16>())(1, 2), bf16{5.25f});
  EXPECT_FALSE(quantize(Int8{}, x).plain<float>());
  EXPECT_TRUE(quantize(quant::Any{}, x).plain<float>());
  EXPECT_FALSE(quantize(quant::Any{Fp4<64>{}}, x).plain<float>());
}

}  // namespace
}  // namespace qlora
