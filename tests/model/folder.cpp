#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/model/folder.hpp>

#include "model/variants.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::models;
using testing::TemporaryFolder;
using testing::Tensors;
using testing::variant_of;

std::vector<float> values_of(ModelFolder const& folder, TensorShape const& tensor) {
  auto const values = folder.tensor(tensor.name, tensor.rows, tensor.columns);
  return {values.data(), values.data() + values.size()};
}

TEST(ModelFolder, HandsOutTensorsByCanonicalName) {
  auto const folder = ModelFolder{models / "odd"};
  EXPECT_TRUE(folder.has_classifier());
  auto const file = SafetensorsFile{models / "odd" / "model.safetensors"};
  auto const norm = folder.tensor("esm.encoder.layer.1.attention.LayerNorm.weight", 1, 40);
  EXPECT_TRUE(std::ranges::equal(
      std::span{norm.data(), 40},
      read_floats(file.at("esm.encoder.layer.1.attention.LayerNorm.gamma"), "")));
  auto const weight = std::get<FullWeight>(folder.weight({2, SiteKind::output}));
  EXPECT_EQ(weight.values.extent(0), 40);
  EXPECT_EQ(weight.values.extent(1), 104);
  EXPECT_TRUE(
      std::ranges::equal(std::span{weight.values.data(), std::size_t{40} * 104},
                         read_floats(file.at("esm.encoder.layer.2.output.dense.weight"), "")));
  auto const head = std::get<FullWeight>(folder.weight(folder.classifier_site()));
  EXPECT_EQ(head.values.extent(0), 2);
}

TEST(ModelFolder, ReadsShardsAndOtherSpellingsAlike) {
  auto const plain = ModelFolder{models / "odd"};
  auto const sharded = ModelFolder{models / "odd_sharded"};
  auto const temporary = TemporaryFolder{};
  auto const published = ModelFolder{variant_of(temporary, "odd", [](Tensors& tensors) {
    tensors.spell_as_bare_encoder();
    tensors.values["embeddings.position_embeddings.weight"] = {
        Dtype::f32, {1}, std::vector<std::byte>(4)};
    tensors.values["pooler.dense.bias"] = {Dtype::f32, {1}, std::vector<std::byte>(4)};
  })};
  for (auto const& tensor : encoder_tensors(plain.config().shape)) {
    EXPECT_EQ(values_of(sharded, tensor), values_of(plain, tensor)) << tensor.name;
    EXPECT_EQ(values_of(published, tensor), values_of(plain, tensor)) << tensor.name;
  }
}

TEST(ModelFolder, SaysWhenThereIsNoClassifier) {
  EXPECT_FALSE(ModelFolder{models / "odd_no_head"}.has_classifier());
}

/// Parts are complete, and expand to something close to the matrix they were made of.
TEST(ModelFolder, HandsOutFourBitParts) {
  auto const full = ModelFolder{models / "tiny"};
  for (auto const model : {"tiny_nf4", "tiny_fp4", "tiny_nf4_head"}) {
    auto const folder = ModelFolder{models / model};
    auto sites = std::vector<Site>{{0, SiteKind::query}, {1, SiteKind::output}};
    if (std::string{model} == "tiny_nf4_head") sites.push_back(folder.classifier_site());
    for (auto const site : sites) {
      auto const weight = std::get<FourBitWeight>(folder.weight(site));
      auto const original = std::get<FullWeight>(full.weight(site));
      ASSERT_EQ(weight.rows, original.values.extent(0));
      ASSERT_EQ(weight.columns, original.values.extent(1));
      ASSERT_TRUE(weight.nested);
      auto const& nested = *weight.nested;
      auto error = 0.0, norm = 0.0;
      for (auto i = std::size_t{0}; i < static_cast<std::size_t>(weight.rows * weight.columns);
           ++i) {
        auto const code = i % 2 == 0 ? weight.codes[i / 2] >> 4 : weight.codes[i / 2] & 15;
        auto const block = i / static_cast<std::size_t>(weight.block);
        auto const scale = nested.map[nested.codes[block]] * nested.absmax.front() + nested.offset;
        auto const expected = original.values.data()[i];
        auto const difference = weight.map[static_cast<std::size_t>(code)] * scale - expected;
        error += difference * difference;
        norm += expected * expected;
      }
      EXPECT_LT(error, 0.05 * norm) << model;
    }
  }
}

TEST(ModelFolder, HandsOutInt8Parts) {
  auto const full = ModelFolder{models / "tiny"};
  auto const folder = ModelFolder{models / "tiny_int8"};
  for (auto const site : {Site{0, SiteKind::intermediate}, Site{1, SiteKind::output}}) {
    auto const weight = std::get<Int8Weight>(folder.weight(site));
    auto const original = std::get<FullWeight>(full.weight(site));
    for (auto i = Index{0}; i < weight.rows * weight.columns; ++i) {
      auto const scale = weight.absmax[static_cast<std::size_t>(i / weight.columns)] / 127;
      auto const value = static_cast<float>(weight.codes[static_cast<std::size_t>(i)]) * scale;
      EXPECT_NEAR(value, original.values.data()[i], 0.6f * scale);
    }
  }
}

TEST(ModelFolder, RefusesTensorsThatDoNotFit) {
  struct Case {
    char const* model;
    std::function<void(Tensors&)> change;
    std::string expected;
  };
  auto const key = std::string{"esm.encoder.layer.1.attention.self.key"};
  auto const value_to = [](std::string const& name, auto edit) {
    return [=](Tensors& tensors) { edit(tensors.values.at(name)); };
  };
  auto const erase = [](std::string const& name) {
    return [=](Tensors& tensors) { ASSERT_EQ(tensors.values.erase(name), 1u); };
  };
  auto const reshape = [](std::string const& name, Extents const& shape) {
    return [=](Tensors& tensors) { tensors.reshape(name, shape); };
  };
  auto const state = key + ".weight.quant_state.bitsandbytes__nf4";
  auto const set_state = [&](std::string const& from, std::string const& to) {
    return [=](Tensors& tensors) { tensors.replace_text(state, from, to); };
  };
  auto const nan = [](Tensors::Value& value) { std::ranges::fill(value.bytes, std::byte{0xff}); };
  auto const cases = std::vector<Case>{
      {"odd", reshape(key + ".weight", {40, 80}), "layer 1 key: expected 40x40, got 40x80 ("},
      {"odd", reshape(key + ".weight", {1600}), "layer 1 key: expected 40x40, got 1600 ("},
      {"odd", reshape(key + ".bias", {39}), "layer 1 key.bias: expected 40, got 39 ("},
      {"odd", reshape("esm.embeddings.word_embeddings.weight", {34, 40}),
       "esm.embeddings.word_embeddings.weight: expected 33x40, got 34x40 ("},
      {"odd", reshape("classifier.weight", {3, 40}),
       "classifier.weight: expected 2x40, got 3x40 ("},
      {"odd", reshape("esm.encoder.layer.0.LayerNorm.gamma", {1}),
       "layer 0 LayerNorm: expected 40, got 1 ("},
      {"odd", erase(key + ".weight"), "tensor \"" + key + ".weight\" is absent"},
      {"odd", erase("classifier.bias"),
       "expected classifier.weight and classifier.bias, found one"},
      {"odd",
       [](Tensors& tensors) {
         tensors.values["esm.encoder.layer.3.output.dense.bias"] = {Dtype::u8, {0}, {}};
       },
       "expected 3 layers as in config.json, found tensor "
       "\"esm.encoder.layer.3.output.dense.bias\""},
      {"odd",
       [=](Tensors& tensors) {
         tensors.values[key.substr(4) + ".weight"] = tensors.values.at(key + ".weight");
       },
       "tensor \"" + key + ".weight\": found twice, as \"" + key + ".weight\" and as \"" +
           key.substr(4) + ".weight\""},
      {"odd", value_to(key + ".weight", nan), "expected finite numbers, found NaN or infinity"},
      {"odd", value_to(key + ".weight", [](Tensors::Value& value) { value.dtype = Dtype::i32; }),
       "expected F32, F16, BF16 or F64, got I32"},
      {"tiny_nf4", erase(key + ".weight.absmax"),
       "expected a tensor " + key + ".weight.absmax, got none"},
      {"tiny_nf4", reshape(key + ".weight", {2047, 1}), "expected 2048 of U8, got 2047x1 of U8"},
      {"tiny_nf4", reshape(key + ".weight.absmax", {63}), "expected 64 of U8, got 63 of U8"},
      {"tiny_nf4", reshape(key + ".weight.quant_map", {15}), "expected 16 elements, got shape 15"},
      {"tiny_nf4", reshape(key + ".weight.nested_absmax", {2}), "expected 1 elements, got shape 2"},
      {"tiny_nf4", value_to(key + ".weight.nested_absmax", nan), "expected finite numbers"},
      {"tiny_nf4", set_state("[64, 64]", "[64, 65]"), "shape: expected 64x64, found [64,65]"},
      {"tiny_nf4", set_state("[64, 64]", "{}"), "shape: expected 64x64, found {}"},
      {"tiny_nf4", set_state("\"blocksize\": 64", "\"blocksize\": 0"), "blocksize: expected 1 to"},
      {"tiny_nf4", set_state("\"quant_type\": \"nf4\"", "\"quant_type\": \"fp4\""),
       "layer 1 key: expected nf4, got quant_type fp4"},
      {"tiny_nf4", set_state("float32", "int32"), "expected dtype float32, float16 or bfloat16"},
      {"tiny_nf4", set_state("{", "{{"), "invalid JSON at byte 2"},
      {"tiny_int8", erase(key + ".SCB"), "expected a tensor " + key + ".SCB, got none"},
      {"tiny_int8",
       value_to(key + ".weight_format",
                [](Tensors::Value& value) { value.bytes[0] = std::byte{2}; }),
       "weight_format: expected 0, for rows one after the other, got 2"},
      {"tiny_int8", reshape(key + ".SCB", {63}), "expected 64 elements, got shape 63"},
      {"tiny_int8", reshape(key + ".weight", {32, 128}), "layer 1 key: expected 64x64, got 32x128"},
  };
  auto const folder = TemporaryFolder{};
  for (auto const& [model, change, expected] : cases) {
    auto const path = variant_of(folder, model, change);
    auto const error = input_error_of([&] {
      auto const opened = ModelFolder{path};
      std::ignore = opened.weight({1, SiteKind::key});
    });
    EXPECT_NE(error.find(expected), std::string::npos)
        << "expected " << expected << ", got " << error;
    EXPECT_NE(error.find(path.string()), std::string::npos) << error;
  }
}

TEST(ModelFolder, RefusesVectorsThatAreQuantized) {
  auto const folder = TemporaryFolder{};
  auto const path = variant_of(folder, "odd", [](Tensors& tensors) {
    auto& norm = tensors.values.at("esm.encoder.layer.0.LayerNorm.gamma");
    norm.dtype = Dtype::i8;
    norm.bytes.resize(norm.bytes.size() / 4);
  });
  auto const opened = ModelFolder{path};
  auto const error = input_error_of([&] {
    for (auto const& tensor : encoder_tensors(opened.config().shape)) {
      if (tensor.is_vector) std::ignore = opened.weight(tensor);
    }
  });
  EXPECT_NE(error.find("expected F32, F16, BF16 or F64, got I8"), std::string::npos) << error;
}

TEST(ModelFolder, RefusesFoldersThatAreNoModel) {
  auto const folder = TemporaryFolder{};
  auto const error = [&] { return input_error_of([&] { ModelFolder{folder.path()}; }); };
  EXPECT_EQ(input_error_of([&] { ModelFolder{folder.path() / "absent"}; }),
            (folder.path() / "absent").string() + ": expected a model folder, found none");
  EXPECT_NE(error().find("config.json: expected a file, found none"), std::string::npos);
  folder.write("adapter_config.json", "{}");
  EXPECT_NE(error().find("expected a model folder, found a PEFT adapter"), std::string::npos);
  std::filesystem::copy_file(models / "odd" / "config.json", folder.path() / "config.json");
  EXPECT_NE(
      error().find("expected model.safetensors or model.safetensors.index.json, found neither"),
      std::string::npos);
  folder.write("pytorch_model.bin", "");
  EXPECT_NE(error().find("convert the folder with `qlora import`"), std::string::npos);
}

}  // namespace
}  // namespace qlora
