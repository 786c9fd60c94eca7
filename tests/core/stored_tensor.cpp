#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/stored_tensor.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

template <class T>
std::vector<float> floats(Dtype dtype, std::vector<T> const& values) {
  auto const bytes = std::as_bytes(std::span{values});
  return read_floats({"x", dtype, {static_cast<std::int64_t>(values.size())}, bytes}, "f");
}

TEST(StoredTensor, ConvertsEveryFloatType) {
  EXPECT_EQ(floats<float>(Dtype::f32, {1.5f, -0.f}), (std::vector{1.5f, -0.f}));
  EXPECT_EQ(floats<double>(Dtype::f64, {0.1, -2}), (std::vector{0.1f, -2.f}));
  EXPECT_EQ(floats<std::uint16_t>(Dtype::bf16, {0x3fc0, 0xc000}), (std::vector{1.5f, -2.f}));
  EXPECT_EQ(floats<std::uint16_t>(Dtype::f16, {0x3c01, 0xfbff, 0x0001, 0x83ff, 0x0400}),
            (std::vector{0x1.004p0f, -65504.f, 0x1p-24f, -0x3ffp-24f, 0x1p-14f}));
}

/// Of as many elements as several threads convert, from wherever they lie.
TEST(StoredTensor, ConvertsLargeTensors) {
  auto const threads = std::exchange(thread_count(), 3);
  auto values = std::vector<double>(200'001);
  for (auto i = std::size_t{0}; i < values.size(); ++i) values[i] = static_cast<double>(i) - 1e5;
  auto bytes = std::vector<std::byte>(1 + values.size() * sizeof(double));
  auto const read = [&] {
    std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(double));
    return read_floats({"x", Dtype::f64, {200'001}, std::span{bytes}.subspan(1)}, "f");
  };
  EXPECT_EQ(read(), (std::vector<float>{values.begin(), values.end()}));
  values.back() = std::nan("");
  EXPECT_EQ(testing::input_error_of(read),
            "f: tensor \"x\": expected finite numbers, found NaN or infinity");
  thread_count() = threads;
}

TEST(StoredTensor, ConvertsEveryHalfAsTheFormatDefines) {
  for (auto half = 0u; half < 0x10000u; ++half) {
    auto const exponent = static_cast<int>((half >> 10) & 31);
    auto const mantissa = static_cast<int>(half & 0x3ff);
    auto const sign = (half & 0x8000) != 0 ? -1.f : 1.f;
    auto const got = detail::half_to_float(static_cast<std::uint16_t>(half));
    if (exponent == 31 && mantissa != 0) {
      EXPECT_TRUE(std::isnan(got));
    } else if (exponent == 31) {
      EXPECT_EQ(got, sign * std::numeric_limits<float>::infinity());
    } else {
      auto const fraction = exponent == 0 ? mantissa : mantissa + 1024;
      EXPECT_EQ(got, sign * std::ldexp(static_cast<float>(fraction), std::max(exponent, 1) - 25));
    }
  }
}

TEST(StoredTensor, RefusesWhatIsNotFinite) {
  auto const expected = "f: tensor \"x\": expected finite numbers, found NaN or infinity";
  auto const nan = std::nanf("");
  EXPECT_EQ(testing::input_error_of([&] { floats<float>(Dtype::f32, {0, nan, 0}); }), expected);
  EXPECT_EQ(testing::input_error_of([] { floats<double>(Dtype::f64, {1e300}); }), expected);
  EXPECT_EQ(testing::input_error_of([] { floats<std::uint16_t>(Dtype::f16, {0x7c00}); }), expected);
  EXPECT_EQ(testing::input_error_of([] { floats<std::uint16_t>(Dtype::bf16, {0xff80}); }),
            expected);
}

TEST(StoredTensor, RefusesWhatIsNoFloatOrOfAnotherSize) {
  EXPECT_EQ(testing::input_error_of([] { floats<std::int32_t>(Dtype::i32, {1}); }),
            "f: tensor \"x\": expected F32, F16, BF16 or F64, got I32");
  auto const values = std::vector{1.f, 2.f};
  auto out = std::vector<float>(3);
  auto const tensor = StoredTensor{"x", Dtype::f32, {2}, std::as_bytes(std::span{values})};
  EXPECT_EQ(testing::input_error_of([&] { read_floats(tensor, out, "f"); }),
            "f: tensor \"x\": expected 3 elements, got shape 2");
}

TEST(StoredTensor, NamesAndSizes) {
  EXPECT_EQ(dtype_name(Dtype::u64), "U64");
  EXPECT_EQ(find_dtype("BF16"), Dtype::bf16);
  EXPECT_EQ(find_dtype("F4"), std::nullopt);
  EXPECT_EQ(element_bytes(Dtype::f64), 8u);
  EXPECT_EQ(shape_text({}), "()");
  EXPECT_EQ(shape_text({2, 0, 3}), "2x0x3");
  EXPECT_EQ(tensor_bytes(Dtype::f32, {2, 3}), 24u);
  EXPECT_EQ(tensor_bytes(Dtype::f32, {}), 4u);
  EXPECT_EQ(tensor_bytes(Dtype::f32, {std::int64_t{1} << 40, std::int64_t{1} << 40}), std::nullopt);
}

}  // namespace
}  // namespace qlora
