#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include <qlora/quant/any.hpp>
#include <qlora/quant/dequantize.hpp>

#include "quant/goldens.hpp"

namespace qlora {
namespace {

using testing::dequantized;
using testing::QuantGoldens;

template <class S>
class EachScheme : public ::testing::Test {};
using Schemes = ::testing::Types<Nf4<64>, Fp4<128>, Int8, Full<float>, Full<bf16>>;
TYPED_TEST_SUITE(EachScheme, Schemes);

TYPED_TEST(EachScheme, RoundsFloatsOnceToOtherTypes) {
  for (auto const* const name : {"odd_count.input", "short_block.input", "large.input"}) {
    auto const matrix = quantize(TypeParam{}, QuantGoldens{"4bit.safetensors"}.matrix(name));
    auto const floats = dequantized(matrix);
    auto halves = MatrixTensor<bf16>{floats.extents()};
    auto doubles = MatrixTensor<double>{floats.extents()};
    dequantize(matrix, halves.view());
    dequantize(matrix, doubles.view());
    for (auto i = Index{0}; i < floats.size(); ++i) {
      ASSERT_EQ(halves.data()[i], bf16{floats.data()[i]});
      ASSERT_EQ(doubles.data()[i], double{floats.data()[i]});
    }
  }
}

TEST(Dequantize, ReturnsFullPrecisionUnchanged) {
  auto const x = QuantGoldens{"4bit.safetensors"}.matrix("minute.input");
  EXPECT_EQ(testing::bits(dequantized(quantize(Full<float>{}, x))), testing::bits(x));
}

TEST(Dequantize, ChecksItsOutput) {
  auto const matrix = quantize(Int8{}, QuantGoldens{"4bit.safetensors"}.matrix("square.input"));
  auto out = MatrixTensor<float>{{40, 48}};
  auto const message = [&](Matrix<float> view) -> std::string {
    try {
      dequantize(matrix, view);
    } catch (ShapeError const& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(out), "dequantize: output: expected 40x40, got 40x48");
  EXPECT_EQ(message(out.view().columns(0, 40)),
            "dequantize: expected a dense output of 40x40, got stride 48");
}

}  // namespace
}  // namespace qlora
