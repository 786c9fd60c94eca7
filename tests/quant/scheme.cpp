#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include <gtest/gtest.h>

#include <qlora/quant/any.hpp>
#include <qlora/quant/dequantize.hpp>

#include "support/example.hpp"

/// What a user writes: 16 evenly spaced values.
struct Uniform4 {
  static constexpr std::string_view name = "uniform4";
  static constexpr int bits = 4;
  static constexpr qlora::Index block = 6;
  static constexpr bool double_quantized = false;
  QLORA_HOST_DEVICE static std::uint8_t encode(float x) {
    return static_cast<std::uint8_t>(std::rint((x + 1) * 7.5f));
  }
  QLORA_HOST_DEVICE static float decode(std::uint8_t code) {
    return static_cast<float>(code) / 7.5f - 1;
  }
};

/// A codebook of 256 entries that are not in order, a scale for each row.
struct Table8 {
  static constexpr std::string_view name = "table8";
  static constexpr int bits = 8;
  static constexpr qlora::Index block = qlora::quant::per_row;
  static constexpr bool double_quantized = false;
  static constexpr auto codebook = [] {
    auto values = std::array<float, 256>{};
    for (auto i = 0u; i < 256; ++i) values[i] = 1.f - static_cast<float>(i * 77 % 256) / 127.5f;
    return values;
  }();
};

/// Four bits and a double-quantized scale for eight elements.
struct Nested {
  static constexpr std::string_view name = "nested";
  static constexpr int bits = 4;
  static constexpr qlora::Index block = 8;
  static constexpr bool double_quantized = true;
  static constexpr auto codebook = qlora::Nf4<>::codebook;
};

namespace qlora {
namespace {

using testing::example;

static_assert(Quantization<Nf4<64>> && Quantization<Fp4<128>> && Quantization<Int8> &&
              Quantization<Full<float>> && Quantization<Full<bf16>> && Quantization<quant::Any>);
static_assert(Quantization<Uniform4> && Quantization<Table8> && Quantization<Nested>);
static_assert(!Quantization<int>);

/// The largest |x - dequantized x| relative to the largest |x|.
template <class S>
double error_of(MatrixTensor<float> const& x) {
  auto out = MatrixTensor<float>{x.extents()};
  dequantize(quantize(S{}, x), out.view());
  auto error = 0.;
  auto largest = 0.;
  for (auto i = Index{0}; i < x.size(); ++i) {
    error = std::max(error, std::fabs(double{x.data()[i]} - double{out.data()[i]}));
    largest = std::max(largest, std::fabs(double{x.data()[i]}));
  }
  return error / largest;
}

TEST(Scheme, OfAUserIsAFewLines) {
  for (auto const columns : {Index{1}, Index{5}, Index{6}, Index{77}}) {
    auto const x = example(7, columns);
    auto const matrix = quantize(Uniform4{}, x);
    EXPECT_EQ(matrix.codes().size(), (x.size() + 1) / 2);
    EXPECT_EQ(matrix.scales().size(), (x.size() + 5) / 6);
    EXPECT_EQ(matrix.bytes(), matrix.codes().size() + 4 * matrix.scales().size());
    EXPECT_LE(error_of<Uniform4>(x), 1 / 15. + 1e-6) << columns;  // half a step
    EXPECT_LE(error_of<Table8>(x), 1 / 255. + 1e-6) << columns;
    EXPECT_LE(error_of<Nested>(x), .17) << columns;
  }
}

TEST(Scheme, TakesTheNearestEntryOfAnyCodebook) {
  for (auto i = 0; i <= 1000; ++i) {
    auto const x = static_cast<float>(i) / 500.f - 1.f;
    auto const found = quant::decode<Table8>(quant::encode<Table8>(x));
    for (auto const value : Table8::codebook) {
      ASSERT_LE(std::fabs(found - x), std::fabs(value - x) + 1e-6f) << x;
    }
  }
}

TEST(Scheme, GivesMidpointsToTheLowerEntry) {
  using Codes = Nf4<64>;
  for (auto i = std::size_t{0}; i + 1 < 16; ++i) {
    auto const midpoint = (Codes::codebook[i] + Codes::codebook[i + 1]) / 2;
    EXPECT_EQ(quant::encode<Codes>(midpoint), i);
    EXPECT_EQ(quant::encode<Codes>(std::nextafter(midpoint, 2.f)), i + 1);
  }
}

TEST(Scheme, HasTwoZerosInFp4) {
  auto const edge = Fp4<64>::codebook[1] / 2;
  EXPECT_EQ(quant::encode<Fp4<64>>(-edge), 9);
  EXPECT_EQ(quant::encode<Fp4<64>>(std::nextafter(-edge, 1.f)), 0);
  EXPECT_EQ(quant::encode<Fp4<64>>(0.f), 0);
  EXPECT_EQ(quant::encode<Fp4<64>>(std::numeric_limits<float>::denorm_min()), 8);
  EXPECT_EQ(quant::encode<Fp4<64>>(edge), 8);
  EXPECT_EQ(quant::encode<Fp4<64>>(std::nextafter(edge, 1.f)), 1);
}

}  // namespace
}  // namespace qlora
