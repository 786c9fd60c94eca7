#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/adapt/peft.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::TemporaryFolder;

auto const goldens = std::filesystem::path{QLORA_TEST_DATA};
auto const query0 = std::string{"esm.encoder.layer.0.attention.self.query"};
constexpr auto layers = 3;

/// The shapes of models/odd.
Extents odd_shape(Site site) {
  if (site.kind == SiteKind::classifier) return {2, 40};
  if (site.kind == SiteKind::intermediate) return {104, 40};
  if (site.kind == SiteKind::output) return {40, 104};
  return {40, 40};
}

TEST(PeftAdapter, ReadsEveryGolden) {
  for (auto const& [name, pairs] : {std::pair{"lora/all", 18u},
                                    {"lora/all_rslora", 18u},
                                    {"lora/qkv", 9u},
                                    {"train/all.init", 18u}}) {
    auto const adapter = PeftAdapter::read(goldens / name);
    EXPECT_EQ(adapter.pairs.size(), pairs);
    EXPECT_TRUE(adapter.head);
    EXPECT_TRUE(adapter.check(layers, odd_shape, name).empty());
  }
}

TEST(PeftAdapter, KeepsValuesInTheirPlace) {
  auto const adapter = PeftAdapter::read(goldens / "lora" / "all");
  auto const file = SafetensorsFile{goldens / "lora" / "all" / "adapter_model.safetensors"};
  auto const stored = [&](std::string const& name) {
    return read_floats(file.at("base_model.model." + name), "");
  };
  auto const& pair = adapter.pairs.at("esm.encoder.layer.1.output.dense");
  EXPECT_EQ(pair.in, 104);
  EXPECT_EQ(pair.out, 40);
  EXPECT_EQ(pair.a, stored("esm.encoder.layer.1.output.dense.lora_A.weight"));
  EXPECT_EQ(pair.b, stored("esm.encoder.layer.1.output.dense.lora_B.weight"));
  EXPECT_EQ(adapter.head->weight, stored("classifier.weight"));
  EXPECT_EQ(adapter.head->bias, stored("classifier.bias"));
}

TEST(PeftAdapter, TellsWhichOfTheCardsTargetsMatchNothing) {
  auto const adapter = PeftAdapter::read(goldens / "card" / "adapter");
  EXPECT_EQ(adapter.check(layers, odd_shape, "f"),
            (std::vector<std::string>{"EsmSelfOutput.dense", "EsmIntermediate.dense",
                                      "EsmOutput.dense", "EsmContactPredictionHead.regression"}));
}

TEST(PeftAdapter, WritesTheSameTensors) {
  auto const folder = TemporaryFolder{};
  for (auto const name : {"lora/all", "lora/all_rslora", "lora/qkv", "card/adapter"}) {
    PeftAdapter::read(goldens / name).write(folder.path() / name);
    auto const original = SafetensorsFile{goldens / name / "adapter_model.safetensors"};
    auto const written = SafetensorsFile{folder.path() / name / "adapter_model.safetensors"};
    ASSERT_EQ(written.tensors().size(), original.tensors().size());
    for (auto const& tensor : original.tensors()) {
      EXPECT_EQ(written.at(tensor.name).shape, tensor.shape);
      EXPECT_TRUE(std::ranges::equal(written.at(tensor.name).bytes, tensor.bytes)) << tensor.name;
    }
    auto const again = PeftAdapter::read(folder.path() / name);
    EXPECT_EQ(again.config.to_json(), PeftAdapter::read(goldens / name).config.to_json());
  }
}

/// An adapter of one layer's query, changed and written by hand.
struct Draft {
  struct Tensor {
    std::string name;
    Extents shape;
    float value = 1;
  };
  Json config{{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 6}, {"target_modules", {query0}}};
  std::vector<Tensor> tensors{{query0 + ".lora_A.weight", {2, 40}},
                              {query0 + ".lora_B.weight", {40, 2}},
                              {"classifier.weight", {2, 40}},
                              {"classifier.bias", {2}}};

  Tensor& at(std::string const& name) { return *std::ranges::find(tensors, name, &Tensor::name); }
  void erase(std::string const& name) {
    std::erase_if(tensors, [&](auto const& tensor) { return tensor.name == name; });
  }
  std::filesystem::path write(TemporaryFolder const& folder) const {
    folder.write("adapter_config.json", config.dump());
    auto values = std::vector<std::vector<float>>{};
    auto refs = std::vector<StoredTensor>{};
    values.reserve(tensors.size());
    for (auto const& [name, shape, value] : tensors) {
      values.emplace_back(tensor_bytes(Dtype::f32, shape).value() / 4, value);
      refs.push_back(float_tensor("base_model.model." + name, shape, values.back()));
    }
    write_safetensors(folder.path() / "adapter_model.safetensors", refs);
    return folder.path();
  }
};

TEST(PeftAdapter, FoldsLoraOnASavedClassifier) {
  auto draft = Draft{};
  draft.tensors.push_back({"classifier.lora_A.weight", {2, 40}, 0.5f});
  draft.tensors.push_back({"classifier.lora_B.weight", {2, 2}, 0.25f});
  draft.tensors.push_back({"classifier.modules_to_save.lora_A.weight", {2, 40}, 0.5f});
  draft.tensors.push_back({"classifier.original_module.lora_B.weight", {2, 2}});
  auto const folder = TemporaryFolder{};
  auto const adapter = PeftAdapter::read(draft.write(folder));
  EXPECT_EQ(adapter.pairs.size(), 1u);
  // weight + alpha / r * sum over r of B A
  EXPECT_EQ(adapter.head->weight, std::vector<float>(80, 1 + 3 * (2 * 0.25f * 0.5f)));
  EXPECT_EQ(adapter.head->bias, std::vector<float>(2, 1));
  EXPECT_TRUE(adapter.check(layers, odd_shape, "f").empty());
}

TEST(PeftAdapter, KeepsLoraOnTheBasesClassifier) {
  auto draft = Draft{};
  draft.erase("classifier.weight");
  draft.erase("classifier.bias");
  draft.tensors.push_back({"classifier.lora_A.weight", {2, 40}});
  draft.tensors.push_back({"classifier.lora_B.weight", {2, 2}});
  auto const folder = TemporaryFolder{};
  auto const adapter = PeftAdapter::read(draft.write(folder));
  EXPECT_FALSE(adapter.head);
  EXPECT_EQ(adapter.pairs.at("classifier").out, 2);
}

TEST(PeftAdapter, TakesAHeadWithoutAdapters) {
  auto draft = Draft{};
  draft.config["target_modules"] = peft::no_target;
  draft.erase(query0 + ".lora_A.weight");
  draft.erase(query0 + ".lora_B.weight");
  auto const folder = TemporaryFolder{};
  auto const adapter = PeftAdapter::read(draft.write(folder));
  EXPECT_TRUE(adapter.check(layers, odd_shape, "f").empty());
}

TEST(PeftAdapter, RefusesWhatDoesNotFit) {
  struct Case {
    std::function<void(Draft&)> change;
    std::string expected;
  };
  auto const a = query0 + ".lora_A.weight";
  auto const b = query0 + ".lora_B.weight";
  auto const shape = [](std::string const& name, Extents const& extents) {
    return [=](Draft& draft) { draft.at(name).shape = extents; };
  };
  auto const rename = [](std::string const& name, std::string const& to) {
    return [=](Draft& draft) { draft.at(name).name = to; };
  };
  auto const value = [](std::string const& name, float number) {
    return [=](Draft& draft) { draft.at(name).value = number; };
  };
  auto const erase = [](std::string const& name) {
    return [=](Draft& draft) { draft.erase(name); };
  };
  auto const targets = [](Json const& names) {
    return [=](Draft& draft) { draft.config["target_modules"] = names; };
  };
  auto const cases = std::vector<Case>{
      {[](Draft& draft) { draft.config["r"] = 3; },
       "expected rank 3 as in adapter_config.json, got 2x40"},
      {[](Draft& draft) { draft.config["r"] = 0; }, "r: expected 1 to 65536, found 0"},
      {shape(a, {80}), "expected rank 2 as in adapter_config.json, got 80"},
      {shape(b, {2, 40}), "expected rank 2 as in adapter_config.json, got 2x40"},
      {shape(a, {2, 0}), "expected rank 2 as in adapter_config.json, got 2x0"},
      {erase(a), query0 + ": expected lora_A beside lora_B, found none"},
      {erase(b), query0 + ": expected lora_B beside lora_A, found none"},
      {value(a, std::nanf("")), "expected finite numbers, found NaN or infinity"},
      {value("classifier.bias", std::numeric_limits<float>::infinity()), "expected finite numbers"},
      {erase("classifier.bias"), "classifier: expected weight and bias, found one of them"},
      {shape("classifier.bias", {3}),
       "expected a matrix and a bias of as many rows, got 2x40 and 3"},
      {rename(a, query0 + ".lora_magnitude_vector"), "expected a LoRA factor or the classifier"},
      {rename(a, query0 + ".lora_embedding_A"), "expected a LoRA factor or the classifier"},
      {rename(a, "esm.embeddings.word_embeddings.lora_A.weight"), "expected a linear layer of the"},
      {rename(a, "esm.encoder.layer.00.attention.self.query.lora_A.weight"),
       "expected a linear lay"},
      {rename(a, "esm.encoder.layer.99999999999.output.dense.lora_A.weight"), "expected a linear"},
      {[](Draft& draft) {
         draft.tensors.push_back({"classifier.lora_A.weight", {2, 39}});
         draft.tensors.push_back({"classifier.lora_B.weight", {2, 2}});
       },
       "classifier: expected LoRA factors for 2x40, got 2x39"},
      {[](Draft& draft) {
         draft.tensors.push_back({"classifier.lora_A.weight", {2, 40}});
         draft.tensors.push_back({"classifier.modules_to_save.lora_A.weight", {2, 40}, 2});
       },
       "expected a copy of base_model.model.classifier.lora_A.weight, found other numbers"},
      {[](Draft& draft) {
         draft.config["modules_to_save"] = {"classifier"};
         draft.erase("classifier.weight");
         draft.at("classifier.bias").name = "classifier.modules_to_save.bias";
       },
       "classifier.weight: expected the head that modules_to_save promises, found none"},
      // Against the base model.
      {shape(a, {2, 80}), query0 + ": expected 40x40, got 40x80"},
      {shape("classifier.weight", {2, 80}), "classifier: expected 2x40, got 2x80"},
      {[&](Draft& draft) {
         for (auto const name : {"A", "B"}) {
           auto const tail = ".attention.self.query.lora_" + std::string{name} + ".weight";
           draft.at("esm.encoder.layer.0" + tail).name = "esm.encoder.layer.3" + tail;
         }
       },
       "esm.encoder.layer.3.attention.self.query: expected a layer below 3"},
      {targets({"query"}),
       "esm.encoder.layer.1.attention.self.query: expected LoRA factors for a "
       "target, found none"},
      {targets({"key"}), query0 + ": found LoRA factors for a module that is no target"},
      {targets({query0, "qeury"}), "target_modules: \"qeury\" matches no module of the model"},
      {[&](Draft& draft) {
         draft.config["target_modules"] = ".*nothing";
         draft.erase(a);
         draft.erase(b);
       },
       "target_modules: \".*nothing\" matches no module of the model"},
      // Work that is little for no text at all, and too much for a path.
      {targets("((){999}){99}"), "takes too many steps"},
      {[](Draft& draft) { draft.config["exclude_modules"] = "((){999}){99}"; },
       "takes too many steps"},
      {[](Draft& draft) {
         draft.tensors.push_back({"classifier.lora_A.weight", {2, 40}});
         draft.tensors.push_back(
             {"classifier.modules_to_save.lora_A.weight" + std::string(10'000, 'x'), {2, 40}});
       },
       "expected a copy of base_model.model.classifier.lora_A.weightx"},
  };
  for (auto const& [change, expected] : cases) {
    auto const folder = TemporaryFolder{};
    auto draft = Draft{};
    change(draft);
    auto const path = draft.write(folder);
    auto const error =
        input_error_of([&] { PeftAdapter::read(path).check(layers, odd_shape, path.string()); });
    EXPECT_NE(error.find(expected), std::string::npos)
        << "expected " << expected << ", got " << error;
    EXPECT_TRUE(error.starts_with(path.string())) << error;
    EXPECT_LT(error.size(), path.string().size() + 400) << error;
  }
}

TEST(PeftAdapter, RefusesAForeignPrefix) {
  auto const folder = TemporaryFolder{};
  auto draft = Draft{};
  std::ignore = draft.write(folder);
  auto const values = std::vector<float>(80);
  write_safetensors(folder.path() / "adapter_model.safetensors",
                    std::vector{float_tensor(query0 + ".lora_A.weight", {2, 40}, values)});
  EXPECT_NE(input_error_of([&] {
              PeftAdapter::read(folder.path());
            }).find("expected a name that starts with base_model.model."),
            std::string::npos);
}

TEST(PeftAdapter, FindsSitesOfLayersThatThereMayBe) {
  auto const query = [](std::string const& layer) {
    return peft::find_site("esm.encoder.layer." + layer + ".attention.self.query");
  };
  EXPECT_EQ(query("1023"), (Site{1023, SiteKind::query}));
  for (auto const* const layer : {"1024", "2147483647", "2147483648", "-1", "01", ""}) {
    EXPECT_FALSE(query(layer)) << layer;
  }
}

TEST(PeftAdapter, RefusesFoldersThatAreNoAdapter) {
  auto const folder = TemporaryFolder{};
  auto const error = [&] { return input_error_of([&] { PeftAdapter::read(folder.path()); }); };
  EXPECT_NE(input_error_of([&] {
              PeftAdapter::read(folder.path() / "absent");
            }).find("expected an adapter folder, found none"),
            std::string::npos);
  EXPECT_NE(error().find("adapter_config.json: expected a file, found none"), std::string::npos);
  folder.write("adapter_config.json", Draft{}.config.dump());
  EXPECT_NE(error().find("adapter_model.safetensors: expected a file, found none"),
            std::string::npos);
  folder.write("adapter_model.bin", "");
  EXPECT_NE(error().find("convert the folder with `qlora import`"), std::string::npos);
}

}  // namespace
}  // namespace qlora
