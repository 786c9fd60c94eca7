/// Folders that torch pickled, older models and adapters, as folders of safetensors. Nothing in a
/// pickle is ever called.
#pragma once

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <qlora/adapt/peft.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/core/shard_index.hpp>
#include <qlora/formats/torch_file.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/model/folder_draft.hpp>
#include <qlora/model/frozen_weights.hpp>
#include <qlora/model/other_tensors.hpp>

namespace qlora::inline v1 {

namespace detail {

/// Opens `pytorch_model.bin`, or its shards. Throws InputError for a folder that needs no import.
inline TensorSet open_pickled(std::filesystem::path const& folder) {
  auto ignored = std::error_code{};
  auto const has = [&](char const* name) {
    return std::filesystem::exists(folder / name, ignored);
  };
  for (auto const* const name : {"model.safetensors", "model.safetensors.index.json"}) {
    if (has(name)) {
      throw InputError{at(folder.string(), "expected a pickled model, found " + std::string{name} +
                                               ": the folder can be used as it is")};
    }
  }
  if (has("pytorch_model.bin")) return TensorSet::open(folder / "pytorch_model.bin", open_torch);
  if (has("pytorch_model.bin.index.json")) {
    return TensorSet::open_sharded(folder / "pytorch_model.bin.index.json", open_torch);
  }
  throw InputError{at(folder.string(),
                      "expected pytorch_model.bin or pytorch_model.bin.index.json, found neither")};
}

}  // namespace detail

/// Writes the model in `pytorch_model.bin` or its shards, with its `config.json`, as a folder of
/// safetensors: encoder and classifier in float32, other tensors as they are. Throws InputError for
/// a model that ModelFolder would refuse, a quantized one, numbers that are not finite, and when
/// `out` holds something already; SystemError when it cannot be written. Then nothing is written.
inline void import_model(std::filesystem::path const& folder, std::filesystem::path const& out,
                         FolderOptions const& options = {}) {
  refuse_occupied(out);
  auto const model = ModelFolder{folder, detail::open_pickled(folder)};
  auto const& shape = model.config().shape;
  if (model.config().quantization) {
    throw InputError{at((folder / "config.json").string(),
                        "expected a model in full precision, found a quantized one")};
  }
  for (auto const& file : model.tensors().files()) {
    for (auto const& tensor : file.tensors()) {
      options.before_tensor();
      if (is_floating(tensor.dtype)) read_floats(tensor, file.path().string());
      file.release(tensor);
    }
  }

  auto draft = FolderDraft{};
  auto const add = [&](TensorShape const& tensor) {
    draft.add(tensor, [&model, tensor] { return full_weight(model, tensor); });
  };
  for (auto const& tensor : encoder_tensors(shape)) add(tensor);
  if (model.has_classifier()) {
    add(weight_shape(shape, model.classifier_site()));
    add({"classifier.bias", 1, 2, true});
  }
  add_other_tensors(model, draft);
  draft.write(out, model.config(), folder, options);
}

/// What became of an adapter's targets.
struct ImportedTargets {
  struct Target {
    std::string name;
    Index modules = 0;  ///< how many it matched; of those that matched none only the card's are let
                        ///< pass
  };
  std::vector<Target> targets;
  bool folded_classifier = false;  ///< LoRA on the classifier is now a part of the classifier
};

namespace detail {

/// Makes the configuration name exactly what the adapter holds: names of a list that match nothing,
/// or a classifier that is saved in full, are left out; where a pattern or layers choose, modules
/// are spelled out, because the number of the base model's layers is not known here.
inline ImportedTargets keep_matched_targets(PeftAdapter& adapter, bool folded) {
  auto& config = adapter.config;
  auto const counted = [&](ModuleNames const& names) {
    auto const own = std::ranges::count_if(
        adapter.pairs, [&](auto const& pair) { return peft::matches(names, pair.first); });
    return own + (folded && peft::matches(names, "classifier") ? 1 : 0);
  };
  auto result = ImportedTargets{.targets = {}, .folded_classifier = folded};
  auto kept = std::vector<std::string>{};
  auto const* const list = std::get_if<std::vector<std::string>>(&config.target_modules);
  if (list != nullptr) {
    for (auto const& name : *list) {
      auto const matched = std::ranges::any_of(
          adapter.pairs, [&](auto const& pair) { return peft::has_suffix(pair.first, name); });
      if (matched) kept.push_back(name);
      result.targets.push_back({name, counted(std::vector{name})});
    }
  } else {
    result.targets.push_back(
        {std::get<std::string>(config.target_modules), counted(config.target_modules)});
  }
  auto const chosen = list == nullptr || !config.layers_to_transform.empty() ||
                      !config.layers_pattern.empty() || !peft::empty(config.exclude_modules);
  if (chosen) {
    kept.clear();
    std::ranges::transform(adapter.pairs, std::back_inserter(kept),
                           [](auto const& pair) { return pair.first; });
    config.layers_to_transform.clear();
    config.layers_pattern.clear();
    config.exclude_modules = std::vector<std::string>{};
  }
  config.target_modules = std::move(kept);
  if (peft::empty(config.target_modules)) config.target_modules = std::string{peft::no_target};
  if (adapter.head) config.modules_to_save = {"classifier"};
  return result;
}

}  // namespace detail

/// Writes the PEFT adapter in `adapter_model.bin` and `adapter_config.json` as a folder that PEFT
/// loads: LoRA on a classifier that is saved as well is folded into it, and the targets are those
/// that matched. Throws InputError for what PeftAdapter would refuse, and when `out` holds
/// something already; SystemError when it cannot be written. Then nothing is written.
inline ImportedTargets import_adapter_folder(std::filesystem::path const& folder,
                                             std::filesystem::path const& out) {
  refuse_occupied(out);
  auto ignored = std::error_code{};
  if (std::filesystem::exists(folder / "adapter_model.safetensors", ignored)) {
    throw InputError{at(folder.string(),
                        "expected a pickled adapter, found adapter_model.safetensors: the folder "
                        "can be used as it is")};
  }
  auto config = PeftConfig::read(folder / "adapter_config.json");
  auto const file = open_torch(folder / "adapter_model.bin");
  auto adapter = PeftAdapter::from(std::move(config), file);
  auto const lora_name = std::string{peft::prefix} + "classifier.lora_A.weight";
  auto const folded = adapter.head.has_value() && file.find(lora_name) != nullptr;

  // The base model is not here: its layers are as many as the adapter's, its shapes the adapter's.
  auto layers = 0;
  for (auto const& [path, pair] : adapter.pairs) {
    if (auto const site = peft::find_site(path)) layers = std::max(layers, site->layer + 1);
  }
  auto const shape_of = [&](Site site) {
    auto const pair = adapter.pairs.find(module_path(site));
    return pair != adapter.pairs.end() ? Extents{pair->second.out, pair->second.in}
                                       : Extents{adapter.head->classes, adapter.head->in};
  };
  adapter.check(layers, shape_of, file.path().string());
  auto targets = located<InputError>(folder.string(),
                                     [&] { return detail::keep_matched_targets(adapter, folded); });
  auto output = OutputFolder{out};
  for (auto const* const name : {"adapter_model.safetensors", "adapter_config.json"}) {
    std::ignore = output.file(name);  // removed again should writing fail
  }
  adapter.write(output.path());
  output.keep();
  return targets;
}

}  // namespace qlora::inline v1
