#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/quant/any.hpp>
#include <qlora/quant/bitsandbytes.hpp>

#include "quant/goldens.hpp"

namespace qlora::quant {
namespace {

using testing::bits;
using testing::dequantized;
using testing::QuantGoldens;

/// The tensors of a 4-bit golden, which can be spoiled one at a time.
struct Stored {
  explicit Stored(std::string const& prefix) {
    auto const goldens = QuantGoldens{"4bit.safetensors"};
    codes = goldens.read<std::uint8_t>(prefix + "codes");
    absmax = goldens.read<float>(prefix + "absmax");
    absmax_codes = goldens.read<std::uint8_t>(prefix + "absmax_codes");
    nested_absmax = goldens.read<float>(prefix + "nested_absmax");
    nested_offset = goldens.read<float>(prefix + "nested_offset").at(0);
    nested_quant_map = goldens.read<float>("dynamic_map");
    quant_map = goldens.read<float>(prefix.find("nf4") != prefix.npos ? "nf4_map" : "fp4_map");
    dequantized = goldens.read<float>(prefix + "dequantized");
  }

  Serialized nested() const {
    return {.codes = codes,
            .absmax_codes = absmax_codes,
            .nested_absmax = nested_absmax,
            .nested_quant_map = nested_quant_map,
            .nested_offset = nested_offset,
            .quant_map = quant_map};
  }
  Serialized plain() const { return {.codes = codes, .absmax = absmax, .quant_map = quant_map}; }

  std::vector<std::uint8_t> codes, absmax_codes;
  std::vector<float> absmax, nested_absmax, nested_quant_map, quant_map, dequantized;
  float nested_offset;
};

TEST(Serialized, GivesWhatBitsandbytesGives) {
  auto const nf4 = Stored{"large.nf4.64."};
  EXPECT_EQ(bits(dequantized(from_serialized(Nf4<64>{}, 160, 320, nf4.nested(), "w"))),
            bits(nf4.dequantized));
  EXPECT_EQ(bits(dequantized(from_serialized(Any::parse("nf4"), 160, 320, nf4.nested(), "w"))),
            bits(nf4.dequantized));
  auto const fp4 = Stored{"odd_count.fp4.128."};
  EXPECT_EQ(bits(dequantized(from_serialized(Fp4<128>{}, 7, 9, fp4.nested(), "w"))),
            bits(fp4.dequantized));
  auto const goldens = QuantGoldens{"int8.safetensors"};
  auto const codes = goldens.read<std::uint8_t>("feed_forward.codes");
  auto const scales = goldens.read<float>("feed_forward.scb");
  EXPECT_EQ(
      bits(dequantized(from_serialized(Int8{}, 104, 40, {.codes = codes, .absmax = scales}, "w"))),
      bits(goldens.read<float>("feed_forward.dequantized")));
}

TEST(Serialized, MayHavePlainScales) {
  auto const stored = Stored{"square.nf4.64."};
  auto const matrix = from_serialized(Nf4<64>{}, 40, 40, stored.plain(), "w");
  EXPECT_EQ(matrix.bytes(), 800 + 4 * 25);
  auto const found = dequantized(matrix);
  for (auto i = std::size_t{0}; i < 1600; ++i) {
    auto const code = stored.codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
    ASSERT_EQ(found.data()[i],
              Nf4<64>::codebook[static_cast<std::size_t>(code)] * stored.absmax[i / 64]);
  }
}

TEST(Serialized, RefusesOtherContents) {
  auto const refusal = [](std::function<void(Stored&)> const& spoil, bool plain = false) {
    auto stored = Stored{"square.nf4.64."};
    spoil(stored);
    try {
      from_serialized(Nf4<64>{}, 40, 40, plain ? stored.plain() : stored.nested(), "m: q.weight");
    } catch (InputError const& error) {
      return std::string{error.what()};
    }
    return std::string{};
  };
  EXPECT_EQ(refusal([](Stored&) {}), "");
  EXPECT_EQ(refusal([](Stored& s) { s.codes.pop_back(); }),
            "m: q.weight: nf4 matrix of 40x40: expected 800 bytes of codes, got 799");
  EXPECT_EQ(
      refusal([](Stored& s) { s.quant_map[3] += 1e-6f; }),
      "m: q.weight: expected a quant_map with the codebook of nf4, found another of 16 entries");
  EXPECT_EQ(refusal([](Stored& s) { s.nested_absmax[0] = NAN; }),
            "m: q.weight: expected finite numbers in nested_absmax, found NaN or infinity");
  EXPECT_NE(refusal([](Stored& s) { s.nested_quant_map[9] = INFINITY; }), "");
  EXPECT_NE(refusal([](Stored& s) { s.nested_quant_map.pop_back(); }), "");
  EXPECT_NE(refusal([](Stored& s) { s.nested_offset = INFINITY; }), "");
  EXPECT_NE(refusal([](Stored& s) { s.absmax_codes.push_back(1); }), "");
  EXPECT_NE(refusal([](Stored& s) { s.absmax[2] = -INFINITY; }, true), "");
  EXPECT_NE(refusal([](Stored& s) { s.absmax.pop_back(); }, true), "");
}

}  // namespace
}  // namespace qlora::quant
