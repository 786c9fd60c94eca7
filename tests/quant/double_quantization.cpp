#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <qlora/quant/double_quantization.hpp>

#include "quant/goldens.hpp"

namespace qlora::quant {
namespace {

TEST(DynamicMap, IsThatOfBitsandbytes) {
  EXPECT_EQ(testing::bits(dynamic_map),
            testing::bits(testing::QuantGoldens{"4bit.safetensors"}.read<float>("dynamic_map")));
}

TEST(DynamicMap, TakesTheNearestToATick) {
  for (auto tick = 0; tick < 65536; ++tick) {
    auto const x = -1.f + 2.f * static_cast<float>(tick) / 65535.f;
    auto const nearest = *std::ranges::min_element(
        dynamic_map, {}, [&](float value) { return std::fabs(double{value} - double{x}); });
    ASSERT_EQ(dynamic_map[encode_dynamic(x)], nearest) << x;
  }
}

TEST(DynamicMap, StaysInsideForEveryFloat) {
  auto const inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(encode_dynamic(inf), 255);
  EXPECT_EQ(encode_dynamic(1.0000001f), 255);
  EXPECT_EQ(encode_dynamic(-1.0000001f), 0);
  EXPECT_EQ(encode_dynamic(-inf), 0);
  EXPECT_EQ(encode_dynamic(std::nanf("")), 0);
}

TEST(NestedScale, RoundsTheProductFirst) {
  // x * x = 1 + 2^-11 + 2^-24, whose last bit the rounding drops
  float const volatile x = 1.f + 0x1p-12f;
  EXPECT_EQ(nested_scale(x, x, -(1.f + 0x1p-11f)), 0.f);
}

}  // namespace
}  // namespace qlora::quant
