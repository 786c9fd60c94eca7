#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <gtest/gtest.h>

#include <qlora/core/scalar.hpp>

namespace {
using namespace qlora;

bf16 of_bits(std::uint32_t bits) {
  auto value = bf16{};
  value.bits = static_cast<std::uint16_t>(bits);
  return value;
}

/// What 16 bits stand for, infinity counting as the power of two after the largest number.
double magnitude(std::uint32_t bits) {
  auto const exponent = static_cast<int>(bits >> 7 & 0xff);
  auto const mantissa = static_cast<int>(bits & 0x7f);
  return exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134);
}

/// The nearer of the two neighbours of a finite number, the even one of two as near, by definition.
std::uint32_t nearest(float value) {
  auto const below = std::bit_cast<std::uint32_t>(value) >> 16;
  auto const exact = std::fabs(static_cast<double>(value));
  auto const to_below = exact - magnitude(below);
  auto const to_above = magnitude(below + 1) - exact;
  if (to_below == to_above) return below % 2 == 0 ? below : below + 1;
  return to_below < to_above ? below : below + 1;
}

TEST(Bf16, RoundsToNearestEven) {
  for (auto upper = 0u; upper < 0x10000u; ++upper) {
    if ((upper & 0x7f80u) == 0x7f80u) continue;  // infinities and NaN
    for (auto const lower : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xc000u, 0xffffu}) {
      auto const value = std::bit_cast<float>(upper << 16 | lower);
      ASSERT_EQ(bf16{value}.bits, nearest(value)) << std::hex << upper << ' ' << lower;
    }
  }
}

TEST(Bf16, KeepsInfinitiesAndNan) {
  constexpr auto infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(bf16{infinity}.bits, 0x7f80u);
  EXPECT_EQ(bf16{-infinity}.bits, 0xff80u);
  EXPECT_EQ(bf16{std::numeric_limits<float>::max()}.bits, 0x7f80u);
  for (auto const bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu, 0x7fc00000u}) {
    auto const narrow = bf16{std::bit_cast<float>(bits)};
    EXPECT_TRUE(std::isnan(static_cast<float>(narrow))) << std::hex << bits;
    EXPECT_EQ(narrow.bits >> 15, bits >> 31) << std::hex << bits;
  }
}

TEST(Bf16, SurvivesTheWayThroughFloat) {
  for (auto bits = 0u; bits < 0x10000u; ++bits) {
    auto const value = static_cast<float>(of_bits(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(bf16{value}, of_bits(bits)) << std::hex << bits;
  }
}

/// tests/quant/int8.cpp has every number of half precision and its neighbours.
TEST(RoundToHalf, KeepsSigns) {
  EXPECT_TRUE(std::signbit(round_to_half(-0.f)));
  EXPECT_TRUE(std::signbit(round_to_half(-1e-9f)));
  EXPECT_EQ(round_to_half(-0x1.8p-24f), -0x1p-23f);
  EXPECT_EQ(round_to_half(-1.f - 0x1p-11f), -1.f);
}

TEST(Convert, GoesBetweenAllTypes) {
  static_assert(convert<float>(bf16{1.5f}) == 1.5f);
  static_assert(convert<double>(bf16{-2.f}) == -2.);
  static_assert(convert<bf16>(.5) == bf16{.5f});
  static_assert(convert<float>(.1) == .1f);
  static_assert(convert<bf16>(1.f + 0x1p-9f) == bf16{1.f});
}

static_assert(std::is_same_v<Accumulate<bf16>, float>);
static_assert(std::is_same_v<Accumulate<float>, float>);
static_assert(std::is_same_v<Accumulate<double>, double>);
static_assert(ComputeType<bf16> && !ComputeType<int>);
static_assert(sizeof(bf16) == 2 && std::is_trivially_copyable_v<bf16>);

}  // namespace
