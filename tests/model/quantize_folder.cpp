#include <cstring>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include <qlora/model/quantize_folder.hpp>

#include "model/variants.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::models;
using testing::TemporaryFolder;
using testing::Tensors;
using testing::variant_of;

/// What transformers and bitsandbytes wrote, LayerNorms spelled as they are published.
std::map<std::string, Tensors::Value> reference(std::string const& model) {
  auto tensors = std::map<std::string, Tensors::Value>{};
  for (auto& [name, value] : Tensors::of(models / model).values) {
    tensors.emplace(canonical_name(name), value);
  }
  return tensors;
}

float first_float(Tensors::Value const& value) {
  auto number = 0.f;
  std::memcpy(&number, value.bytes.data(), sizeof number);
  return number;
}

/// Byte for byte, but for the mean that torch sums in float, and the scale of what it is subtracted
/// from.
TEST(QuantizeFolder, WritesWhatBitsandbytesWrites) {
  for (auto const* const scheme : {"nf4", "fp4", "int8"}) {
    auto const temporary = TemporaryFolder{};
    quantize_folder(ModelFolder{models / "tiny"}, quant::Any::parse(scheme), temporary.path());
    auto const found = Tensors::of(temporary.path()).values;
    auto const expected = reference(std::string{"tiny_"} + scheme);
    EXPECT_EQ(found.size(), expected.size());
    auto same_offsets = 0;
    for (auto const& [name, want] : expected) {
      ASSERT_TRUE(found.contains(name)) << name;
      auto const& have = found.at(name);
      ASSERT_EQ(have.dtype, want.dtype) << name;
      if (name.find(".quant_state.") != name.npos) {
        auto const [have_state, want_state] = std::pair{json::parse(as_text(have.bytes), name),
                                                        json::parse(as_text(want.bytes), name)};
        auto const offset = want_state["nested_offset"].get<double>();
        EXPECT_NEAR(have_state["nested_offset"].get<double>(), offset, 2.5e-7 * offset) << name;
        same_offsets += have == want;
      } else if (name.ends_with(".nested_absmax")) {
        EXPECT_NEAR(first_float(have), first_float(want), 1e-7f) << name;
      } else {
        EXPECT_EQ(have, want) << name;
      }
    }
    EXPECT_TRUE(scheme == std::string{"int8"} || same_offsets > 0);
    auto const config = EsmConfig::read(temporary.path() / "config.json").to_json();
    EXPECT_EQ(config["quantization_config"],
              EsmConfig::read(models / ("tiny_" + std::string{scheme}) / "config.json")
                  .to_json()["quantization_config"]);
  }
}

TEST(QuantizeFolder, CutsIntoShardsThatReadTheSame) {
  auto const temporary = TemporaryFolder{};
  auto const [whole, cut] = std::pair{temporary.path() / "whole", temporary.path() / "cut"};
  auto const source = ModelFolder{models / "odd_no_head"};
  quantize_folder(source, Nf4<64>{}, whole);
  quantize_folder(source, Nf4<64>{}, cut, {.limit_bytes = 4000});
  auto const [one, several] = std::pair{ModelFolder{whole}, ModelFolder{cut}};
  EXPECT_GT(several.tensors().files().size(), 5u);
  EXPECT_FALSE(several.has_classifier());
  for (auto const site : {Site{0, SiteKind::query}, Site{2, SiteKind::output}}) {
    auto const [a, b] = std::pair{std::get<FourBitWeight>(one.weight(site)),
                                  std::get<FourBitWeight>(several.weight(site))};
    EXPECT_EQ(a.codes, b.codes);
    EXPECT_EQ(a.nested->codes, b.nested->codes);
    EXPECT_EQ(a.nested->offset, b.nested->offset);
  }
}

TEST(QuantizeFolder, WritesNothingThatIsWrong) {
  auto const temporary = TemporaryFolder{};
  auto const out = temporary.path() / "out";
  auto const refusal = [&](std::filesystem::path const& source, char const* scheme) {
    auto const error = input_error_of(
        [&] { quantize_folder(ModelFolder{source}, quant::Any::parse(scheme), out); });
    EXPECT_FALSE(std::filesystem::exists(out));
    return error;
  };
  EXPECT_EQ(refusal(models / "tiny_nf4", "nf4"),
            (models / "tiny_nf4" / "config.json").string() +
                ": expected a model in full precision, found one that is quantized already");
  EXPECT_EQ(refusal(models / "tiny", "none"),
            "quantization: expected nf4, fp4 or int8, found none");
  auto const broken = variant_of(temporary, "odd", [](Tensors& tensors) {
    auto const large = 1e6f;  // more than half precision holds
    std::memcpy(tensors.values.at("esm.encoder.layer.2.output.dense.weight").bytes.data(), &large,
                sizeof large);
  });
  auto const too_large = refusal(broken, "int8");
  EXPECT_EQ(too_large.find("layer 2 output.dense (" + broken.string() + "): int8 matrix"), 0u)
      << too_large;
  EXPECT_NE(too_large.find("one too large in rows 0 to 0"), std::string::npos) << too_large;
  temporary.write("out/x", "");
  EXPECT_NE(input_error_of([&] {
              quantize_folder(ModelFolder{models / "tiny"}, Int8{}, out);
            }).find("expected an empty folder or none"),
            std::string::npos);
}

}  // namespace
}  // namespace qlora
