/// Every byte and every number against bitsandbytes.
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/quant/any.hpp>
#include <qlora/quant/quantize.hpp>

#include "quant/goldens.hpp"
#include "support/errors.hpp"
#include "support/rounded.hpp"

namespace qlora {
namespace {

using testing::bits;
using testing::dequantized;
using testing::message_of;
using testing::QuantGoldens;
using testing::rounded_to;

template <class S>
class FourBits : public ::testing::Test {};
using FourBitSchemes = ::testing::Types<Nf4<64>, Nf4<128>, Fp4<64>, Fp4<128>>;
TYPED_TEST_SUITE(FourBits, FourBitSchemes);

TYPED_TEST(FourBits, AreThoseOfBitsandbytes) {
  using S = TypeParam;
  auto const goldens = QuantGoldens{"4bit.safetensors"};
  ASSERT_EQ(goldens.cases().size(), 12u);
  for (auto const& name : goldens.cases()) {
    auto const prefix = name + "." + std::string{S::name} + "." + std::to_string(S::block) + ".";
    SCOPED_TRACE(prefix);
    auto const input = goldens.matrix(name + ".input");
    auto const layout = quant::layout_of(S{}, input.extent(0), input.extent(1));
    auto const codes = VectorTensor<std::uint8_t>{{layout.code_bytes}};
    auto const scales = VectorTensor<float>{{layout.blocks}};
    quant::detail::encode_matrix<S>(input.data(), layout, codes.data(), scales.data());
    EXPECT_EQ(bits(scales), bits(goldens.template read<float>(prefix + "absmax")));

    auto const offset = goldens.template read<float>(prefix + "nested_offset").at(0);
    auto const matrix = quantize(S{}, input, offset);
    EXPECT_EQ(bits(matrix.codes()), goldens.template read<std::uint8_t>(prefix + "codes"));
    EXPECT_EQ(bits(matrix.scale_codes()),
              goldens.template read<std::uint8_t>(prefix + "absmax_codes"));
    EXPECT_EQ(bits(matrix.nested_scales()),
              bits(goldens.template read<float>(prefix + "nested_absmax")));
    EXPECT_EQ(bits(matrix.nested_map()), bits(goldens.template read<float>("dynamic_map")));
    EXPECT_EQ(bits(dequantized(matrix)),
              bits(goldens.template read<float>(prefix + "dequantized")));

    for (auto const& [kind, rounding] : {std::pair{"dequantized_bf16", quant::Rounding::bf16},
                                         {"dequantized_half", quant::Rounding::half}}) {
      if (name != "square" && name != "minute") continue;
      EXPECT_EQ(bits(dequantized(rounded_to(rounding, matrix))),
                bits(goldens.template read<float>(prefix + kind)));
    }

    auto const own = quantize(S{}, input).offset();
    auto const inf = std::numeric_limits<float>::infinity();
    auto const low = std::nextafter(std::nextafter(offset, -inf), -inf);
    auto const high = std::nextafter(std::nextafter(offset, inf), inf);
    EXPECT_TRUE(low <= own && own <= high) << own << " against " << offset;
  }
}

/// Many blocks at once have the bytes that each has for itself, ties and the least numbers too.
TYPED_TEST(FourBits, DoNotDependOnTheirNeighbours) {
  using S = TypeParam;
  constexpr auto const& midpoints = quant::detail::ranks_of<S>.midpoints;
  auto generator = std::mt19937{1};
  auto normal = std::normal_distribution<float>{};
  for (auto const& [rows, columns] : {std::pair{1, 2}, {1, 63}, {3, 43}, {5, 128}, {300, 129}}) {
    auto const x = MatrixTensor<float>{{rows, columns}};
    for (auto i = Index{0}; i < x.size(); ++i) {
      auto const scale = i / 500 % 3 == 0 ? 1e-41f : i / 500 % 3 == 1 ? 1.f : 1e30f;
      auto const tie = midpoints[generator() % midpoints.size()];
      x.data()[i] = scale * (i / 150 % 2 == 0 ? tie : normal(generator));
      if (i % 50 == 0) x.data()[i] = i / 150 % 2 == 0 ? scale : 0.f;
    }
    auto const layout = quant::layout_of(S{}, rows, columns);
    auto const of = [&](auto&& encode) {
      auto codes = std::vector<std::uint8_t>(static_cast<std::size_t>(layout.code_bytes));
      auto scales = std::vector<float>(static_cast<std::size_t>(layout.blocks));
      encode(x.data(), layout, codes.data(), scales.data());
      return std::pair{codes, scales};
    };
    EXPECT_EQ(of(quant::detail::climb_ladder<S>), of(quant::detail::encode_blocks<S>))
        << rows << "x" << columns;
  }
}

TEST(Int8, IsThatOfBitsandbytes) {
  auto const goldens = QuantGoldens{"int8.safetensors"};
  ASSERT_EQ(goldens.cases().size(), 6u);
  for (auto const& name : goldens.cases()) {
    SCOPED_TRACE(name);
    auto const matrix = quantize(Int8{}, goldens.matrix(name + ".input"));
    EXPECT_EQ(bits(matrix.codes()), goldens.read<std::uint8_t>(name + ".codes"));
    EXPECT_EQ(bits(matrix.scales()), bits(goldens.read<float>(name + ".scb")));
    EXPECT_EQ(bits(dequantized(matrix)), bits(goldens.read<float>(name + ".dequantized")));
  }
}

TEST(Quantize, DoesNotDependOnTheNumberOfThreads) {
  auto const input = QuantGoldens{"4bit.safetensors"}.matrix("large.input");
  auto const threads = thread_count();
  thread_count() = 1;
  auto const one = quantize(Nf4<64>{}, input);
  thread_count() = 3;
  auto const three = quantize(Nf4<64>{}, input);
  thread_count() = threads;
  EXPECT_EQ(bits(one.codes()), bits(three.codes()));
  EXPECT_EQ(bits(one.scale_codes()), bits(three.scale_codes()));
  EXPECT_EQ(one.offset(), three.offset());
}

TEST(Quantize, RefusesWhatItCannotStore) {
  auto input = MatrixTensor<float>{{40, 100}};
  std::fill_n(input.data(), input.size(), 1.f);
  auto const quantized = [&](auto scheme) { return [&input, scheme] { quantize(scheme, input); }; };
  input.view()(7, 50) = std::nanf("");
  EXPECT_EQ(message_of<InputError>(quantized(Nf4<64>{})),
            "nf4 matrix of 40x100: expected finite elements, found NaN, infinity or one too large "
            "in rows 7 to 7");
  EXPECT_NE(message_of<InputError>(quantized(quant::Any{})), "no error");
  input.view()(7, 50) = -std::numeric_limits<float>::infinity();
  EXPECT_NE(message_of<InputError>(quantized(Int8{})), "no error");
  input.view()(7, 50) = 65520;  // half precision ends at 65504
  EXPECT_NE(message_of<InputError>(quantized(Int8{})), "no error");
  EXPECT_EQ(message_of<InputError>(quantized(Fp4<64>{})), "no error");
  input.view()(7, 50) = 65519;
  EXPECT_EQ(message_of<InputError>(quantized(Int8{})), "no error");

  EXPECT_EQ(message_of<ShapeError>([&] { quantize(Int8{}, input.view().columns(0, 99)); }),
            "quantize: expected a dense, non-empty matrix, got 40x99 with stride 100");
  EXPECT_NE(message_of<ShapeError>([&] { quantize(Int8{}, input.view().slice(3, 0)); }),
            "no error");
}

}  // namespace
}  // namespace qlora
