#include <string>

#include <gtest/gtest.h>

#include <qlora/quant/any.hpp>

#include "quant/goldens.hpp"

namespace qlora {
namespace {

using quant::Any;
using testing::bits;
using testing::dequantized;

template <class S>
void expect_same(S scheme) {
  auto const input = testing::QuantGoldens{"4bit.safetensors"}.matrix("large.input");
  auto const any = Any::parse(S::name);
  EXPECT_EQ(any.name, S::name);
  EXPECT_EQ(any.bits, S::bits);
  EXPECT_EQ(any.block, S::block);
  EXPECT_EQ(any.double_quantized, S::double_quantized);
  auto const expected = quantize(scheme, input);
  auto const found = quantize(any, input);
  EXPECT_EQ(found.bytes(), expected.bytes());
  EXPECT_EQ(bits(found.codes()), bits(expected.codes()));
  EXPECT_EQ(bits(found.scales()), bits(expected.scales()));
  EXPECT_EQ(bits(found.scale_codes()), bits(expected.scale_codes()));
  EXPECT_EQ(bits(dequantized(found)), bits(dequantized(expected)));
}

TEST(Any, DoesWhatTheSchemeOfItsNameDoes) {
  expect_same(Full<float>{});
  expect_same(Nf4<64>{});
  expect_same(Fp4<64>{});
  expect_same(Int8{});
}

TEST(Any, IsFullPrecisionAtFirst) {
  EXPECT_EQ(Any{}.name, "none");
}

TEST(Any, NamesWhatItKnows) {
  try {
    Any::parse("nf8");
    FAIL();
  } catch (InputError const& error) {
    EXPECT_STREQ(error.what(), "quantization: expected one of none nf4 fp4 int8, found nf8");
  }
}

}  // namespace
}  // namespace qlora
