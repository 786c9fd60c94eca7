#include <bit>
#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

#include <qlora/core/stored_tensor.hpp>
#include <qlora/quant/int8.hpp>

namespace qlora {
namespace {

TEST(Int8, RoundsToHalfPrecisionFirst) {
  for (auto half = std::uint16_t{0}; half < 0x7bff; ++half) {  // up to the largest finite number
    auto const low = detail::half_to_float(half);
    auto const high = detail::half_to_float(static_cast<std::uint16_t>(half + 1));
    auto const middle = (low + high) / 2;
    ASSERT_EQ(Int8::prepare(low), low);
    ASSERT_EQ(Int8::prepare(-high), -high);
    ASSERT_EQ(Int8::prepare(std::nextafter(middle, 0.f)), low);
    ASSERT_EQ(Int8::prepare(middle), half % 2 == 0 ? low : high);
    ASSERT_EQ(Int8::prepare(std::nextafter(middle, high)), high);
  }
  EXPECT_EQ(Int8::prepare(65519.996f), 65504.f);
  EXPECT_EQ(Int8::prepare(-65520.f), -INFINITY);
  EXPECT_TRUE(std::isnan(Int8::prepare(NAN)));
}

TEST(Int8, RoundsTiesToEven) {
  EXPECT_EQ(Int8::encode(.5f), 0);
  EXPECT_EQ(Int8::encode(1.5f), 2);
  EXPECT_EQ(Int8::encode(-2.5f), -2);
  EXPECT_EQ(Int8::encode(-127.f), -127);
}

}  // namespace
}  // namespace qlora
