#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/adapt/peft.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/model/import.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::read_file;
using testing::TemporaryFolder;

auto const pickled = std::filesystem::path{QLORA_TEST_DATA} / "pickled";

class Import : public ::testing::Test {
 protected:
  std::filesystem::path path(std::string const& name) const { return folder_.path() / name; }
  /// A copy of a golden folder.
  std::filesystem::path copy(std::string const& name) const {
    std::filesystem::copy(pickled / name, path(name));
    return path(name);
  }
  void change_config(std::string const& file, std::string const& key, Json const& value) const {
    auto document = Json::parse(read_file(path(file)));
    document[key] = value;
    folder_.write(file, document.dump());
  }
  void replace(std::string const& file, std::string const& from, std::string const& to) const {
    auto bytes = read_file(path(file));
    auto const found = bytes.find(from);
    ASSERT_NE(found, std::string::npos);
    folder_.write(file, bytes.replace(found, from.size(), to));
  }
  /// The error of an import into out/, which must leave nothing behind.
  template <class Action>
  std::string refused(Action&& action) const {
    auto const error = input_error_of([&] { action(path("out")); });
    EXPECT_FALSE(std::filesystem::exists(path("out"))) << error;
    return error;
  }
  std::string refused_model(std::filesystem::path const& from) const {
    return refused([&](auto const& out) { import_model(from, out); });
  }
  std::string refused_adapter(std::filesystem::path const& from) const {
    return refused([&](auto const& out) { import_adapter_folder(from, out); });
  }

  TemporaryFolder folder_;
};

void expect_part(std::string const& text, std::string const& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text << " lacks " << part;
}

TEST_F(Import, WritesTheModelThatTorchPickled) {
  auto const expected = SafetensorsFile{pickled / "model.safetensors"};
  for (auto const* const name : {"model", "sharded", "legacy"}) {
    import_model(pickled / name, path(name), {.limit_bytes = 8'000});  // several files
    auto const written = ModelFolder{path(name)};
    EXPECT_GT(written.tensors().files().size(), 1u);
    EXPECT_TRUE(written.has_classifier());
    for (auto const& tensor : expected.tensors()) {
      auto const found = written.tensors().find(canonical_name(tensor.name));
      ASSERT_NE(found.tensor, nullptr) << tensor.name;
      EXPECT_EQ(found.tensor->shape, tensor.shape) << tensor.name;
      EXPECT_EQ(found.tensor->dtype, tensor.dtype) << tensor.name;
      EXPECT_TRUE(std::ranges::equal(found.tensor->bytes, tensor.bytes)) << tensor.name;
    }
  }
}

TEST_F(Import, FoldsTheCardsClassifier) {
  auto const targets = import_adapter_folder(pickled / "adapter", path("out"));
  EXPECT_TRUE(targets.folded_classifier);
  auto counted = std::vector<std::pair<std::string, Index>>{};
  for (auto const& [name, modules] : targets.targets) counted.emplace_back(name, modules);
  EXPECT_EQ(counted,
            (std::vector<std::pair<std::string, Index>>{{"query", 2},
                                                        {"key", 2},
                                                        {"value", 2},
                                                        {"EsmSelfOutput.dense", 0},
                                                        {"EsmIntermediate.dense", 0},
                                                        {"EsmOutput.dense", 0},
                                                        {"EsmContactPredictionHead.regression", 0},
                                                        {"classifier", 1}}));
  auto const expected = SafetensorsFile{pickled / "adapter.safetensors"};
  auto const written = SafetensorsFile{path("out/adapter_model.safetensors")};
  ASSERT_EQ(written.tensors().size(), expected.tensors().size());
  for (auto const& tensor : expected.tensors()) {
    auto const found = read_floats(written.at(tensor.name), "f");
    auto const wanted = read_floats(tensor, "f");
    ASSERT_EQ(found.size(), wanted.size());
    for (auto i = std::size_t{0}; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], wanted[i], 1e-6) << tensor.name;
    }
  }
  auto const adapter = PeftAdapter::read(path("out"));
  EXPECT_EQ(std::get<std::vector<std::string>>(adapter.config.target_modules),
            (std::vector<std::string>{"query", "key", "value"}));
  EXPECT_EQ(adapter.config.modules_to_save, std::vector<std::string>{"classifier"});
  EXPECT_FLOAT_EQ(adapter.config.lora.dropout, .5f);
}

TEST_F(Import, SpellsModulesOutWherePatternsOrLayersChoose) {
  copy("adapter");
  auto paths = std::vector<std::string>{};
  for (auto const* const layer : {"0", "1"}) {
    for (auto const* const name : {"key", "query", "value"}) {
      paths.push_back("esm.encoder.layer." + std::string{layer} + ".attention.self." + name);
    }
  }
  auto const imported_targets = [&](std::string const& out) {
    import_adapter_folder(path("adapter"), path(out));
    auto const config = PeftConfig::read(path(out) / "adapter_config.json");
    EXPECT_TRUE(config.layers_to_transform.empty());
    return std::get<std::vector<std::string>>(config.target_modules);
  };
  change_config("adapter/adapter_config.json", "target_modules", ".*(query|key|value)|classifier");
  EXPECT_EQ(imported_targets("pattern"), paths);
  change_config("adapter/adapter_config.json", "target_modules", {"query", "key", "value"});
  change_config("adapter/adapter_config.json", "layers_to_transform", {0, 1});
  EXPECT_EQ(imported_targets("layers"), paths);
}

TEST_F(Import, RefusesModelsThatCannotBeUsed) {
  auto const model = copy("model");
  auto const bin = "model/pytorch_model.bin";
  auto const good = read_file(path(bin));
  auto const with = [&](std::string const& from, std::string const& to) {
    folder_.write(bin, good);
    replace(bin, from, to);
    return refused_model(model);
  };
  expect_part(with("classifier.bias", "classifier.bibs"), "found one of them");
  expect_part(with("layer.1.attention.self.key.bias", "layer.2.attention.self.key.bias"),
              "esm.encoder.layer.1.attention.self.key.bias\" is absent");
  expect_part(with("_rebuild_tensor_v2", "_rebuild_tensor_v9"),
              "found the global \"torch._utils._rebuild_tensor_v9\"");
  expect_part(with("torch._utils\n_rebuild_tensor_v2", "posix_______\nsystem____________"),
              "found the global \"posix_______.system____________\"");
  // The classifier's weight, made NaN.
  auto const expected = SafetensorsFile{pickled / "model.safetensors"};
  auto const bytes = expected.at("classifier.weight").bytes.first(8);
  expect_part(with(std::string{as_text(bytes)}, std::string(8, '\xff')), "NaN or infinity");
  auto const other = expected.at("esm.contact_head.regression.weight").bytes.first(8);
  expect_part(with(std::string{as_text(other)}, std::string(8, '\xff')), "NaN or infinity");

  folder_.write(bin, good.substr(0, good.size() / 2));
  expect_part(refused_model(model), "pytorch_model.bin: zip archive: expected an end record");
  folder_.write(bin, good);
  change_config("model/config.json", "hidden_size", 16);
  expect_part(refused_model(model), "pytorch_model.bin");
  change_config("model/config.json", "hidden_size", 12);
  folder_.write("model/model.safetensors", "");
  expect_part(refused_model(model), "the folder can be used as it is");
  expect_part(refused_model(pickled / "adapter"), "found neither");
  folder_.write("out/mine", "kept");
  expect_part(input_error_of([&] { import_model(pickled / "model", path("out")); }),
              "expected an empty folder");
}

TEST_F(Import, RefusesShardsThatLeadElsewhere) {
  auto const index = "sharded/pytorch_model.bin.index.json";
  copy("sharded");
  auto const good = read_file(path(index));
  replace(index, "pytorch_model-00001-of-00002.bin", "../model/pytorch_model.bin");
  expect_part(refused_model(path("sharded")), "expected a plain file name");
  folder_.write(index, good);
  std::filesystem::remove(path("sharded/pytorch_model-00002-of-00002.bin"));
  expect_part(refused_model(path("sharded")), "expected a file, found none");
  std::filesystem::create_symlink(pickled / "sharded" / "pytorch_model-00002-of-00002.bin",
                                  path("sharded/pytorch_model-00002-of-00002.bin"));
  expect_part(refused_model(path("sharded")), "found a link out of it");
}

TEST_F(Import, RefusesAdaptersThatCannotBeUsed) {
  auto const adapter = copy("adapter");
  auto const config = "adapter/adapter_config.json";
  auto const bin = "adapter/adapter_model.bin";
  auto const good = read_file(path(bin));
  change_config(config, "target_modules", {"query", "key", "value", "qeury", "classifier"});
  expect_part(refused_adapter(adapter), "\"qeury\" matches no module");
  change_config(config, "target_modules", {"query", "key", "classifier"});
  expect_part(refused_adapter(adapter), "for a module that is no target");
  change_config(config, "target_modules", {"query", "key", "value", "classifier"});
  change_config(config, "r", 2);
  expect_part(refused_adapter(adapter), "expected rank 2");
  change_config(config, "r", 3);
  replace(bin, "classifier.lora_A", "classifier.lora_C");
  expect_part(refused_adapter(adapter), "expected");
  folder_.write(bin, good);
  auto const expected = SafetensorsFile{pickled / "adapter.safetensors"};
  auto const bias = expected.at("base_model.model.classifier.bias").bytes;
  replace(bin, std::string{as_text(bias)}, std::string(8, '\xff'));
  expect_part(refused_adapter(adapter), "NaN or infinity");
  folder_.write(bin, good);
  folder_.write("adapter/adapter_model.safetensors", "");
  expect_part(refused_adapter(adapter), "the folder can be used as it is");
}

}  // namespace
}  // namespace qlora
