#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/model/config.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;

/// As the published checkpoint has it.
Json published() {
  return Json::parse(R"({"architectures": ["EsmForMaskedLM"], "attention_probs_dropout_prob": 0.0,
    "classifier_dropout": null, "emb_layer_norm_before": false, "esmfold_config": null,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "hidden_size": 320, "initializer_range": 0.02,
    "intermediate_size": 1280, "is_folding_model": false, "layer_norm_eps": 1e-05,
    "mask_token_id": 32, "max_position_embeddings": 1026, "model_type": "esm",
    "num_attention_heads": 20, "num_hidden_layers": 6, "pad_token_id": 1,
    "position_embedding_type": "rotary", "token_dropout": true, "torch_dtype": "float32",
    "transformers_version": "4.25.0.dev0", "use_cache": true, "vocab_list": null,
    "vocab_size": 33})");
}

TEST(EsmConfig, ReadsThePublishedFields) {
  auto const config = EsmConfig::from_json(published(), "f");
  EXPECT_EQ(config.shape.hidden, 320);
  EXPECT_EQ(config.shape.layers, 6);
  EXPECT_EQ(config.shape.heads, 20);
  EXPECT_EQ(config.shape.head_dim(), 16);
  EXPECT_EQ(config.shape.intermediate, 1280);
  EXPECT_EQ(config.shape.vocabulary, 33);
  EXPECT_EQ(config.shape.layer_norm_eps, 1e-5);
  EXPECT_TRUE(config.shape.token_dropout);
  EXPECT_EQ(config.max_positions, 1026);
  EXPECT_FALSE(config.quantization);
}

TEST(EsmConfig, AssumesWhatTransformersAssumes) {
  auto document = published();
  for (auto const key : {"layer_norm_eps", "token_dropout", "hidden_act", "mask_token_id"}) {
    document.erase(key);
  }
  auto const config = EsmConfig::from_json(document, "f");
  EXPECT_EQ(config.shape.layer_norm_eps, 1e-12);
  EXPECT_FALSE(config.shape.token_dropout);
}

TEST(EsmConfig, ReadsEveryGolden) {
  auto const models = std::filesystem::path{QLORA_TEST_DATA} / "models";
  auto const odd = EsmConfig::read(models / "odd" / "config.json");
  EXPECT_EQ(odd.shape.head_dim(), 10);
  EXPECT_EQ(odd.shape.intermediate, 104);
  EXPECT_EQ(odd.shape.layer_norm_eps, 3e-5);
  auto const kind = [&](std::string const& name) {
    return EsmConfig::read(models / name / "config.json").quantization.value().kind;
  };
  EXPECT_EQ(kind("tiny_nf4"), BitsAndBytes::Kind::nf4);
  EXPECT_EQ(kind("tiny_fp4"), BitsAndBytes::Kind::fp4);
  EXPECT_EQ(kind("tiny_int8"), BitsAndBytes::Kind::int8);
}

TEST(EsmConfig, WritesWhatItReads) {
  auto const folder = testing::TemporaryFolder{};
  for (auto const& quantization :
       {std::optional<BitsAndBytes>{}, std::optional{BitsAndBytes{BitsAndBytes::Kind::nf4, true}},
        std::optional{BitsAndBytes{BitsAndBytes::Kind::fp4, false}},
        std::optional{BitsAndBytes{BitsAndBytes::Kind::int8, false}}}) {
    auto config = EsmConfig::from_json(published(), "f");
    config.shape.layer_norm_eps = 3e-5;
    config.shape.token_dropout = false;
    config.max_positions = 77;
    config.quantization = quantization;
    config.write(folder.path() / "config.json");
    auto const again = EsmConfig::read(folder.path() / "config.json");
    EXPECT_EQ(again.to_json(), config.to_json());
    EXPECT_EQ(again.shape.layer_norm_eps, 3e-5);
    EXPECT_FALSE(again.shape.token_dropout);
    EXPECT_EQ(again.max_positions, 77);
    ASSERT_EQ(again.quantization.has_value(), quantization.has_value());
    if (quantization) {
      EXPECT_EQ(again.quantization->kind, quantization->kind);
      EXPECT_EQ(again.quantization->double_quantized, quantization->double_quantized);
    }
  }
}

TEST(EsmConfig, RefusesImpossibleModels) {
  struct Case {
    std::string key, value, expected;
  };
  auto const cases = std::vector<Case>{
      {"hidden_size", "0", "hidden_size: expected 1 to 65536, found 0"},
      {"hidden_size", "-320", "hidden_size: expected 1 to 65536, found -320"},
      {"hidden_size", "1000000000000", "hidden_size: expected 1 to 65536, found 1000000000000"},
      {"hidden_size", "1e3", "hidden_size: expected an integer, found 1000.0"},
      {"hidden_size", "\"320\"", "hidden_size: expected an integer, found \"320\""},
      {"hidden_size", "null", "hidden_size: expected an integer, found nothing"},
      {"hidden_size", "310",
       "expected a hidden_size that is an even multiple of num_attention_heads"},
      {"num_attention_heads", "3", "found 320 and 3"},
      {"num_attention_heads", "320", "found 320 and 320"},
      {"num_attention_heads", "0", "num_attention_heads: expected 1 to 4096, found 0"},
      {"num_attention_heads", "-20", "num_attention_heads: expected 1 to 4096, found -20"},
      {"num_attention_heads", "1000000000000", "num_attention_heads: expected 1 to 4096"},
      {"num_hidden_layers", "-1", "num_hidden_layers: expected 1 to 1024, found -1"},
      {"num_hidden_layers", "1000000", "num_hidden_layers: expected 1 to 1024, found 1000000"},
      {"num_hidden_layers", "0", "num_hidden_layers: expected 1 to 1024, found 0"},
      {"num_hidden_layers", "[6]", "num_hidden_layers: expected an integer, found a list"},
      {"intermediate_size", "9007199254740993", "intermediate_size: expected 1 to 1048576"},
      {"intermediate_size", "0", "intermediate_size: expected 1 to 1048576, found 0"},
      {"intermediate_size", "-1", "intermediate_size: expected 1 to 1048576, found -1"},
      {"vocab_size", "-33", "vocab_size: expected 33 to 65536, found -33"},
      {"vocab_size", "1000000", "vocab_size: expected 33 to 65536, found 1000000"},
      {"vocab_size", "20", "vocab_size: expected 33 to 65536, found 20"},
      {"layer_norm_eps", "0", "layer_norm_eps: expected 1e-30 to 1.0, found 0.0"},
      {"layer_norm_eps", "-1e-5", "layer_norm_eps: expected 1e-30 to 1.0, found -1e-05"},
      {"layer_norm_eps", "\"1e-5\"", "layer_norm_eps: expected a finite number, found \"1e-5\""},
      {"model_type", "\"bert\"", "model_type: expected \"esm\", found \"bert\""},
      {"model_type", "null", "model_type: expected \"esm\", found \"\""},
      {"hidden_act", "\"relu\"", "hidden_act: expected \"gelu\", found \"relu\""},
      {"position_embedding_type", "\"absolute\"", "expected \"rotary\", found \"absolute\""},
      {"position_embedding_type", "null", "expected \"rotary\", found \"absolute\""},
      {"emb_layer_norm_before", "true", "emb_layer_norm_before: expected false, found true"},
      {"emb_layer_norm_before", "0", "emb_layer_norm_before: expected true or false, found 0"},
      {"is_folding_model", "true", "is_folding_model: expected false, found true"},
      {"is_decoder", "true", "is_decoder: expected false, found true"},
      {"rope_theta", "5000.0", "rope_theta: expected 10000.0, found 5000.0"},
      {"pad_token_id", "0", "pad_token_id: expected 1, found 0"},
      {"mask_token_id", "4", "mask_token_id: expected 32, found 4"},
      {"token_dropout", "1", "token_dropout: expected true or false, found 1"},
      {"max_position_embeddings", "-1", "max_position_embeddings: expected 1 to"},
      {"quantization_config", "[]", "quantization_config: expected an object, found a list"},
      {"quantization_config", R"({"quant_method":"gptq"})", "\"bitsandbytes\", found \"gptq\""},
      {"quantization_config", R"({"quant_method":"bitsandbytes"})", "load_in_8bit, found neither"},
      {"quantization_config",
       R"({"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"int4"})",
       "expected type nf4 or fp4, found \"int4\""},
  };
  for (auto const& [key, value, expected] : cases) {
    auto document = published();
    document[key] = Json::parse(value);
    auto const error = input_error_of([&] { EsmConfig::from_json(document, "f"); });
    EXPECT_TRUE(error.starts_with("f: ")) << key << " " << value << " gave " << error;
    EXPECT_NE(error.find(expected), std::string::npos) << key << " " << value << " gave " << error;
  }
}

TEST(EsmConfig, RefusesNotANumber) {
  auto const folder = testing::TemporaryFolder{};
  auto text = published().dump();
  auto const key = std::string{"\"layer_norm_eps\":"};
  text.replace(text.find(key) + key.size(), 5, "NaN");
  auto const path = folder.write("config.json", text);
  EXPECT_NE(input_error_of([&] { EsmConfig::read(path); }).find("invalid JSON at byte"),
            std::string::npos);
}

}  // namespace
}  // namespace qlora
