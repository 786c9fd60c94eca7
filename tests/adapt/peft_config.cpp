#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/adapt/peft_config.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;

auto const layer = std::string{"esm.encoder.layer."};

Json minimal() {
  return {{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 1}, {"target_modules", {"query"}}};
}

TEST(PeftConfig, ReadsEveryGolden) {
  auto const adapters = std::filesystem::path{QLORA_TEST_DATA} / "lora";
  auto const all = PeftConfig::read(adapters / "all" / "adapter_config.json");
  EXPECT_EQ(all.lora.rank, 3);
  EXPECT_EQ(all.lora.alpha, 5.f);
  EXPECT_EQ(all.lora.scaling, LoraScaling::plain);
  EXPECT_EQ(all.task_type, "TOKEN_CLS");
  EXPECT_EQ(all.base_model, "models/odd");
  EXPECT_EQ(std::get<0>(all.target_modules).size(), 6u);
  EXPECT_EQ(PeftConfig::read(adapters / "all_rslora" / "adapter_config.json").lora.scaling,
            LoraScaling::rank_stabilised);
}

TEST(PeftConfig, WritesWhatItReads) {
  auto document = minimal();
  document.update({{"lora_alpha", 2.5},
                   {"lora_dropout", 0.25},
                   {"use_rslora", true},
                   {"exclude_modules", {"key"}},
                   {"modules_to_save", {"classifier"}},
                   {"layers_to_transform", {0, 2}},
                   {"layers_pattern", "layer"},
                   {"task_type", "TOKEN_CLS"},
                   {"base_model_name_or_path", "facebook/esm2_t6_8M_UR50D"}});
  auto const config = PeftConfig::from_json(document, "f");
  EXPECT_EQ(config.lora.alpha, 2.5f);
  EXPECT_EQ(config.lora.dropout, 0.25f);
  auto const again = PeftConfig::from_json(config.to_json(), "f");
  EXPECT_EQ(again.to_json(), config.to_json());
  EXPECT_EQ(again.layers_to_transform, (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(again.layers_pattern, std::vector<std::string>{"layer"});
  EXPECT_EQ(config.to_json()["lora_alpha"], 2.5);
  EXPECT_TRUE(PeftConfig::from_json(minimal(), "f").to_json()["lora_alpha"].is_number_integer());
  auto large = PeftConfig{};
  large.lora.alpha = 1e30f;
  EXPECT_EQ(large.to_json()["lora_alpha"], 1e30);
}

/// Every expectation is what check_target_module_exists of PEFT 0.21.2 answers.
TEST(PeftConfig, MatchesModulesAsPeftDoes) {
  struct Case {
    std::string fields, path;
    bool expected;
  };
  auto const cases = std::vector<Case>{
      {R"("target_modules": ["query"])", layer + "0.attention.self.query", true},
      {R"-("target_modules": ["query"])-", layer + "0.attention.self.query", true},
      {R"-("target_modules": ["query"])-", layer + "0.attention.self.key", false},
      {R"-("target_modules": ["uery"])-", layer + "0.attention.self.query", false},
      {R"-("target_modules": ["output.dense"])-", layer + "3.attention.output.dense", true},
      {R"-("target_modules": ["output.dense"])-", layer + "3.output.dense", true},
      {R"-("target_modules": ["output.dense"])-", layer + "3.intermediate.dense", false},
      {R"-("target_modules": ["attention.output.dense"])-", layer + "3.output.dense", false},
      {R"-("target_modules": ["dense"])-", layer + "3.intermediate.dense", true},
      {R"-("target_modules": ["3.output.dense"])-", layer + "13.output.dense", false},
      {R"-("target_modules": ["3.output.dense"])-", layer + "3.output.dense", true},
      {R"-("target_modules": ["EsmOutput.dense"])-", layer + "3.output.dense", false},
      {R"-("target_modules": ["esm.encoder.layer.1.output.dense"])-", layer + "1.output.dense",
       true},
      {R"-("target_modules": ["classifier"])-", "classifier", true},
      {R"-("target_modules": ["classifier"], "modules_to_save": ["classifier"])-", "classifier",
       false},
      {R"-("target_modules": ["dense"], "modules_to_save": ["output"])-",
       layer + "3.attention.output.dense", false},
      {R"-("target_modules": ["dense"], "modules_to_save": ["out"])-",
       layer + "3.attention.output.dense", true},
      {R"-("target_modules": ["query"], "exclude_modules": ["esm.encoder.layer.0.attention.self.query"])-",
       layer + "0.attention.self.query", false},
      {R"-("target_modules": ["query"], "exclude_modules": ["query"])-",
       layer + "1.attention.self.query", false},
      {R"-("target_modules": ["query"], "exclude_modules": ".*\\.0\\..*")-",
       layer + "0.attention.self.query", false},
      {R"-("target_modules": ["query"], "exclude_modules": ".*\\.0\\..*")-",
       layer + "1.attention.self.query", true},
      {R"-("target_modules": ".*\\.(query|value)")-", layer + "1.attention.self.query", true},
      {R"-("target_modules": ".*\\.(query|value)")-", layer + "1.attention.self.key", false},
      {R"-("target_modules": "query")-", layer + "1.attention.self.query", false},
      {R"-("target_modules": "esm\\.encoder\\.layer\\.[0-2]\\.attention\\.self\\.(query|key)")-",
       layer + "2.attention.self.key", true},
      {R"-("target_modules": "esm\\.encoder\\.layer\\.[0-2]\\.attention\\.self\\.(query|key)")-",
       layer + "3.attention.self.key", false},
      {R"-("target_modules": ".*layer\\.\\d+\\.output\\.dense$")-", layer + "12.output.dense",
       true},
      {R"-("target_modules": ["query"], "layers_to_transform": [1, 3])-",
       layer + "3.attention.self.query", true},
      {R"-("target_modules": ["query"], "layers_to_transform": [1, 3])-",
       layer + "2.attention.self.query", false},
      {R"-("target_modules": ["query"], "layers_to_transform": 2)-",
       layer + "2.attention.self.query", true},
      {R"-("target_modules": ["query"], "layers_to_transform": 2)-",
       layer + "12.attention.self.query", false},
      {R"-("target_modules": ["query"], "layers_to_transform": [])-",
       layer + "12.attention.self.query", true},
      {R"-("target_modules": ["query"], "layers_to_transform": [1], "layers_pattern": "layer")-",
       layer + "1.attention.self.query", true},
      {R"-("target_modules": ["query"], "layers_to_transform": [1], "layers_pattern": ["layers"])-",
       layer + "1.attention.self.query", false},
      {R"-("target_modules": ["query"], "layers_to_transform": [1], "layers_pattern": ["h", "encoder.layer"])-",
       layer + "1.attention.self.query", true},
      {R"-("target_modules": ["query"], "layers_to_transform": [1], "layers_pattern": ["coder.layer"])-",
       layer + "1.attention.self.query", false},
      {R"-("target_modules": ["regression"], "layers_to_transform": [1])-",
       "esm.contact_head.regression", false},
      {R"-("target_modules": ["esm.encoder.layer.1.attention.self.query"], "layers_to_transform": [0])-",
       layer + "1.attention.self.query", true},
      {R"-("target_modules": ["1.query", "query"], "layers_to_transform": [1])-", "a.1.query",
       false},
      {R"-("target_modules": ["query"], "layers_to_transform": [1])-", "a.b.1.query", true},
      {R"-("target_modules": ["query"], "layers_to_transform": [1])-", "a.b.2.1.query", false},
      {R"-("target_modules": ["1"], "layers_to_transform": [1])-", "a.b.1", false},
      {R"-("target_modules": ["query"], "modules_to_save": ["x", "layer"])-",
       layer + "1.attention.self.query", false},
  };
  for (auto const& [fields, path, expected] : cases) {
    auto document = Json{{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 1}};
    document.update(Json::parse("{" + fields + "}"));
    EXPECT_EQ(PeftConfig::from_json(document, "f").adapts(path), expected) << fields << " " << path;
  }
}

TEST(PeftConfig, NeverAdaptsTheHeadOfAClassification) {
  auto document = minimal();
  document["target_modules"] = {"classifier", "query"};
  EXPECT_TRUE(PeftConfig::from_json(document, "f").adapts("classifier"));
  document["task_type"] = "TOKEN_CLS";
  EXPECT_FALSE(PeftConfig::from_json(document, "f").adapts("classifier"));
  document["target_modules"] = "all-linear";
  EXPECT_TRUE(PeftConfig::from_json(document, "f").adapts(layer + "0.output.dense"));
  EXPECT_FALSE(PeftConfig::from_json(document, "f").adapts("classifier"));
}

TEST(PeftConfig, RefusesAMalformedPattern) {
  auto document = minimal();
  document["target_modules"] = ".*(query";
  EXPECT_EQ(input_error_of([&] { PeftConfig::from_json(document, "f"); }),
            "f: target_modules: regular expression \".*(query\", character 8: expected ')'");
}

TEST(PeftConfig, TakesAListOfNamesForASet) {
  auto document = minimal();
  document["target_modules"] = std::vector<std::string>(20'000, "query");
  document["target_modules"].push_back("key");
  EXPECT_EQ(PeftConfig::from_json(document, "f").target_modules,
            ModuleNames(std::vector<std::string>{"query", "key"}));
}

TEST(PeftConfig, BoundsItsLists) {
  auto names = Json::array();
  auto numbers = Json::array();
  for (auto i = 0; i < 8'193; ++i) {
    names.push_back("m" + std::to_string(i));
    numbers.push_back(i);
  }
  for (auto const* const key : {"target_modules", "exclude_modules", "modules_to_save",
                                "layers_pattern", "layers_to_transform"}) {
    auto document = minimal();
    document[key] = key == std::string{"layers_to_transform"} ? numbers : names;
    EXPECT_EQ(input_error_of([&] { PeftConfig::from_json(document, "f"); }),
              "f: " + std::string{key} + ": expected at most 8192, found 8193");
  }
}

TEST(PeftConfig, RefusesOtherMathematics) {
  struct Case {
    std::string key, value, expected;
  };
  auto const cases = std::vector<Case>{
      {"peft_type", "\"IA3\"", "peft_type: expected \"LORA\", found \"IA3\""},
      {"peft_type", "null", "peft_type: expected a string, found nothing"},
      {"r", "0", "r: expected 1 to 65536, found 0"},
      {"r", "-2", "r: expected 1 to 65536, found -2"},
      {"r", "2.5", "r: expected an integer, found 2.5"},
      {"lora_alpha", "\"1\"", "lora_alpha: expected a finite number, found \"1\""},
      {"lora_alpha", "1e300", "lora_alpha: expected -1000000000.0 to 1000000000.0, found 1e+300"},
      {"lora_alpha", "null", "lora_alpha: expected a finite number, found nothing"},
      {"lora_dropout", "1.0", "lora_dropout: expected at least 0 and less than 1, found 1.0"},
      {"lora_dropout", "-0.1", "lora_dropout: expected at least 0 and less than 1, found -0.1"},
      {"target_modules", "null", "target_modules: expected at least one module, found none"},
      {"target_modules", "[]", "target_modules: expected at least one module, found none"},
      {"target_modules", "[1]", "target_modules: expected a list of strings, found a list"},
      {"target_modules", "{}", "target_modules: expected a list of strings, found an object"},
      {"modules_to_save", "[1]", "modules_to_save: expected a list of strings, found a list"},
      {"bias", "\"all\"", "bias: expected \"none\", found \"all\""},
      {"fan_in_fan_out", "true", "fan_in_fan_out: expected it unset"},
      {"use_dora", "true", "use_dora: expected it unset"},
      {"lora_bias", "true", "lora_bias: expected it unset"},
      {"use_qalora", "true", "use_qalora: expected it unset"},
      {"rank_pattern", R"({"query": 4})", "rank_pattern: expected it unset"},
      {"alpha_pattern", R"({"query": 4})", "alpha_pattern: expected it unset"},
      {"layer_replication", "[[0, 4]]", "layer_replication: expected it unset"},
      {"trainable_token_indices", "[1]", "trainable_token_indices: expected it unset"},
      {"target_parameters", "[\"x\"]", "target_parameters: expected it unset"},
      {"use_bdlora", "true", "use_bdlora: expected it unset"},
      {"alora_invocation_tokens", "[1]", "alora_invocation_tokens: expected it unset"},
      {"megatron_config", R"({"a": 1})", "megatron_config: expected it unset"},
      {"velora_config", R"({"a": 1})", "velora_config: expected it unset"},
      {"kasa_config", R"({"a": 1})", "kasa_config: expected it unset"},
      {"monteclora_config", R"({"a": 1})", "monteclora_config: expected it unset"},
      {"arrow_config", R"({"a": 1})", "arrow_config: expected it unset"},
      {"init_lora_weights", "\"pissa_niter_16\"", "init_lora_weights: expected true, false"},
      {"init_lora_weights", "1", "init_lora_weights: expected true, false"},
      {"use_rslora", "1", "use_rslora: expected true or false, found 1"},
      {"layers_to_transform", "\"1\"", "layers_to_transform: expected integers, found \"1\""},
      {"layers_to_transform", "[[1]]", "layers_to_transform: expected integers, found a list"},
      {"layers_pattern", "[\"la.*\"]", "layers_pattern: expected plain names, found a list"},
  };
  for (auto const& [key, value, expected] : cases) {
    auto document = minimal();
    document[key] = Json::parse(value);
    auto const error = input_error_of([&] { PeftConfig::from_json(document, "f"); });
    EXPECT_EQ(error.find("f: " + expected), 0u) << key << " " << value << " gave " << error;
  }
}

TEST(PeftConfig, RefusesLayersBesideAPattern) {
  auto document = minimal();
  document.update({{"target_modules", ".*query"}, {"layers_to_transform", {0}}});
  EXPECT_NE(input_error_of([&] {
              PeftConfig::from_json(document, "f");
            }).find("target_modules: expected a list where layers are chosen"),
            std::string::npos);
}

TEST(PeftConfig, RefusesNotANumber) {
  auto const folder = testing::TemporaryFolder{};
  auto const path = folder.write(
      "c", R"({"peft_type": "LORA", "r": 2, "lora_alpha": NaN, "target_modules": ["query"]})");
  EXPECT_NE(input_error_of([&] { PeftConfig::read(path); }).find("invalid JSON at byte 45"),
            std::string::npos);
}

TEST(PeftConfig, IgnoresUnknownFields) {
  auto document = minimal();
  document.update({{"peft_version", "9"}, {"qalora_group_size", 16}, {"revision", {{"a", 1}}}});
  EXPECT_EQ(input_error_of([&] { PeftConfig::from_json(document, "f"); }), "no error");
}

auto sites_where(std::function<bool(Site)> predicate) {
  return peft::targets_of(placement::Sites{"test", std::move(predicate)}, 3);
}

TEST(PeftTargets, AreShortWhereLayersAreAlike) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(peft::targets_of(Qkv{}, 6), ModuleNames(Names{"key", "query", "value"}));
  EXPECT_EQ(peft::targets_of(CardLiteral{}, 6), ModuleNames(Names{"key", "query", "value"}));
  EXPECT_EQ(peft::targets_of(AllLinear{}, 6),
            ModuleNames(Names{"attention.output.dense", "intermediate.dense", "key", "output.dense",
                              "query", "value"}));
  EXPECT_EQ(peft::targets_of(HeadOnly{}, 6), ModuleNames(std::string{"dummy-target-modules"}));
}

TEST(PeftTargets, AreFullPathsOtherwise) {
  using Names = std::vector<std::string>;
  // "output.dense" alone would take attention's output too.
  EXPECT_EQ(sites_where([](Site site) { return site.kind == SiteKind::output; }),
            ModuleNames(Names{layer + "0.output.dense", layer + "1.output.dense",
                              layer + "2.output.dense"}));
  EXPECT_EQ(sites_where([](Site site) {
              return site == Site{2, SiteKind::key};
            }),
            ModuleNames(Names{layer + "2.attention.self.key"}));
}

TEST(PeftTargets, AreReportedWhereTheyMatchNothing) {
  using Names = std::vector<std::string>;
  auto const card = Names{CardLiteral::targets.begin(), CardLiteral::targets.end()};
  EXPECT_EQ(peft::unmatched(card, 6),
            (Names{"EsmSelfOutput.dense", "EsmIntermediate.dense", "EsmOutput.dense",
                   "EsmContactPredictionHead.regression"}));
  EXPECT_EQ(peft::unmatched(Names{"query", "esm.encoder.layer.6.output.dense"}, 6),
            Names{"esm.encoder.layer.6.output.dense"});
  EXPECT_TRUE(peft::unmatched(std::string{peft::no_target}, 6).empty());
  EXPECT_EQ(peft::unmatched(std::string{".*none"}, 6), Names{".*none"});
}

}  // namespace
}  // namespace qlora
