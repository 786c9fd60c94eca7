/// Model folders made from the golden ones by changing their tensors.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/safetensors.hpp>
#include <qlora/core/safetensors_writer.hpp>

#include "support/files.hpp"

namespace qlora::testing {

inline auto const models = std::filesystem::path{QLORA_TEST_DATA} / "models";

/// The tensors of a folder, to be changed and written elsewhere.
struct Tensors {
  struct Value {
    Dtype dtype;
    Extents shape;
    std::vector<std::byte> bytes;

    bool operator==(Value const&) const = default;
  };
  std::map<std::string, Value> values;

  static Tensors of(std::filesystem::path const& folder) {
    auto tensors = Tensors{};
    auto const file = SafetensorsFile{folder / "model.safetensors"};
    for (auto const& tensor : file.tensors()) {
      tensors.values[tensor.name] = {
          tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()}};
    }
    return tensors;
  }
  void write(std::filesystem::path const& path) const {
    auto refs = std::vector<StoredTensor>{};
    for (auto const& [name, value] : values) {
      refs.push_back({name, value.dtype, value.shape, value.bytes});
    }
    write_safetensors(path, refs);
  }
  void rename(std::string const& from, std::string const& to) {
    auto node = values.extract(from);
    ASSERT_TRUE(node) << from;
    node.key() = to;
    values.insert(std::move(node));
  }
  void reshape(std::string const& name, Extents const& shape) {
    auto& value = values.at(name);
    value.shape = shape;
    value.bytes.resize(tensor_bytes(value.dtype, shape).value());
  }
  /// In a tensor that holds text.
  void replace_text(std::string const& name, std::string const& from, std::string const& to) {
    auto& value = values.at(name);
    auto text = std::string{as_text(value.bytes)};
    ASSERT_NE(text.find(from), std::string::npos);
    text.replace(text.find(from), from.size(), to);
    auto const bytes = std::as_bytes(std::span{text});
    value.bytes.assign(bytes.begin(), bytes.end());
    value.shape = {static_cast<std::int64_t>(text.size())};
  }
  /// As transformers 4 saved the encoder without a head.
  void spell_as_bare_encoder() {
    auto names = std::vector<std::string>{};
    for (auto const& [name, value] : values) names.push_back(name);
    for (auto const& name : names) {
      auto spelled = name;
      if (spelled.ends_with(".gamma")) spelled.replace(spelled.size() - 5, 5, "weight");
      if (spelled.ends_with(".beta")) spelled.replace(spelled.size() - 4, 4, "bias");
      if (spelled.starts_with("esm.")) spelled.erase(0, 4);
      if (spelled != name) rename(name, spelled);
    }
  }
};

/// Copies `model` with its tensors changed; returns the folder.
inline std::filesystem::path variant_of(TemporaryFolder const& folder, std::string const& model,
                                        std::function<void(Tensors&)> const& change) {
  auto const path = folder.path() / "model";
  std::filesystem::create_directories(path);
  std::filesystem::copy_file(models / model / "config.json", path / "config.json",
                             std::filesystem::copy_options::overwrite_existing);
  auto tensors = Tensors::of(models / model);
  change(tensors);
  tensors.write(path / "model.safetensors");
  return path;
}

}  // namespace qlora::testing
