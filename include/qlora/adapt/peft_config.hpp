/// `adapter_config.json` of PEFT (https://github.com/huggingface/peft): a LoRA's options, and the
/// rule that says which modules it adapts.
#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <qlora/adapt/lora.hpp>
#include <qlora/adapt/path_pattern.hpp>
#include <qlora/adapt/placement.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>

namespace qlora::inline v1 {

/// Modules as PEFT names them: a list of paths or of their last components, or one regular
/// expression for the whole path.
using ModuleNames = std::variant<std::vector<std::string>, std::string>;

struct PeftConfig {
  LoraOptions lora;  ///< the seed is not stored
  ModuleNames target_modules;
  ModuleNames exclude_modules;
  std::vector<std::string> modules_to_save;       ///< trained in full, never adapted
  std::vector<std::int64_t> layers_to_transform;  ///< empty: all
  std::vector<std::string> layers_pattern;
  std::string task_type = "TOKEN_CLS";
  std::string base_model;

  /// Unknown fields are ignored. Throws InputError for those that change what a LoRA computes.
  static PeftConfig from_json(Json const& document, std::string_view file);
  static PeftConfig read(std::filesystem::path const& path) {
    return from_json(json::read_object(path), path.string());
  }

  /// The document from which PEFT builds the same adapter.
  [[nodiscard]] Json to_json() const;

  /// Whether PEFT would adapt the module at `path`, "esm.encoder.layer.0.attention.self.query" say.
  [[nodiscard]] bool adapts(std::string_view path) const;
};

namespace peft {

/// What PEFT writes for an adapter that adapts nothing, and only saves modules.
inline constexpr std::string_view no_target = "dummy-target-modules";
inline constexpr std::string_view all_linear = "all-linear";

/// Whether `path` is `name` or ends with ".name".
inline bool has_suffix(std::string_view path, std::string_view name) {
  if (!path.ends_with(name)) return false;
  return path.size() == name.size() || path[path.size() - name.size() - 1] == '.';
}

/// PEFT's rule for a list or pattern of modules, without layers and exclusions.
inline bool matches(ModuleNames const& names, std::string_view path) {
  if (auto const list = std::get_if<std::vector<std::string>>(&names)) {
    return std::ranges::any_of(*list, [&](auto const& name) { return has_suffix(path, name); });
  }
  auto const& pattern = std::get<std::string>(names);
  if (pattern == all_linear) return path != "classifier";
  return PathMatcher{pattern, path}.run();
}

inline bool empty(ModuleNames const& names) {
  return std::visit([](auto const& value) { return value.empty(); }, names);
}

/// The number after the first `pattern` in `path`, as in "layer.7."; for an empty pattern the first
/// number behind at least two names. Nothing when there is none.
inline std::optional<std::int64_t> layer_index(std::string_view path, std::string_view pattern) {
  for (auto dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    auto const end = path.find('.', dot + 1);
    auto const number = path.substr(dot + 1, end - dot - 1);
    auto const before = path.substr(0, dot);
    auto const digits = !number.empty() && number.size() <= 9 &&
                        number.find_first_not_of("0123456789") == number.npos;
    auto const named =
        pattern.empty() ? before.find('.') != before.npos : has_suffix(before, pattern);
    if (digits && named && end != path.npos) return std::stoll(std::string{number});
  }
  return std::nullopt;
}

/// The shortest target_modules that adapt exactly the matrices the placement chooses: last
/// components of paths where all layers are alike, else full paths.
template <Placement P>
ModuleNames targets_of(P const& placement, int layers) {
  auto suffixes = std::vector<std::string>{};
  auto paths = std::vector<std::string>{};
  auto others = std::vector<std::string>{};
  for (auto kind = SiteKind::query; kind < SiteKind::classifier;
       kind = static_cast<SiteKind>(static_cast<int>(kind) + 1)) {
    for (auto layer = 0; layer < layers; ++layer) {
      auto& list = placement.adapts(Site{layer, kind}) ? paths : others;
      list.push_back(module_path({layer, kind}));
    }
    if (layers > 0 && placement.adapts(Site{0, kind})) {
      auto const suffix = module_suffix(kind);
      auto const attention_self = kind <= SiteKind::value;
      suffixes.emplace_back(attention_self ? suffix.substr(suffix.rfind('.') + 1) : suffix);
    }
  }
  if (paths.empty()) return std::string{no_target};
  std::ranges::sort(suffixes);
  std::ranges::sort(paths);
  auto const regular =
      std::ranges::all_of(paths, [&](auto const& path) { return matches(suffixes, path); }) &&
      std::ranges::none_of(others, [&](auto const& path) { return matches(suffixes, path); });
  return regular ? suffixes : paths;
}

/// Those of the targets that match no module of a model of `layers` layers, neither in the encoder
/// nor in its heads. PEFT itself leaves them out without a word.
inline std::vector<std::string> unmatched(ModuleNames const& targets, int layers) {
  auto paths = std::vector<std::string>{"classifier", "esm.contact_head.regression"};
  for (auto layer = 0; layer < layers; ++layer) {
    for (auto kind = SiteKind::query; kind < SiteKind::classifier;
         kind = static_cast<SiteKind>(static_cast<int>(kind) + 1)) {
      paths.push_back(module_path({layer, kind}));
    }
  }
  auto const matches_nothing = [&](ModuleNames const& names) {
    return std::ranges::none_of(paths, [&](auto const& path) { return matches(names, path); });
  };
  if (auto const pattern = std::get_if<std::string>(&targets)) {
    auto const idle = *pattern != no_target && matches_nothing(targets);
    return idle ? std::vector{*pattern} : std::vector<std::string>{};
  }
  auto idle = std::vector<std::string>{};
  for (auto const& name : std::get<std::vector<std::string>>(targets)) {
    if (matches_nothing(std::vector{name})) idle.push_back(name);
  }
  return idle;
}

namespace detail {

/// More than any model has modules.
inline constexpr std::size_t most_names = 8'192;

inline void refuse_many(std::size_t count, std::string_view key, std::string_view file) {
  if (count <= most_names) return;
  throw InputError{at(file, std::string{key} + ": expected at most " + std::to_string(most_names) +
                                ", found " + std::to_string(count))};
}

/// Each name once, as PEFT makes a set of them.
inline std::vector<std::string> read_list(Json const& document, std::string_view key,
                                          std::string_view file) {
  auto names = json::find<std::vector<std::string>>(document, key, file)
                   .value_or(std::vector<std::string>{});
  auto seen = std::set<std::string>{};
  std::erase_if(names, [&](std::string const& name) { return !seen.insert(name).second; });
  refuse_many(names.size(), key, file);
  return names;
}

inline ModuleNames read_names(Json const& document, std::string_view key, std::string_view file) {
  auto const entry = document.find(key);
  if (entry == document.end() || !entry->is_string()) return read_list(document, key, file);
  auto pattern = entry->get<std::string>();
  located<InputError>(at(file, key), [&] { std::ignore = PathMatcher{pattern, ""}.run(); });
  return pattern;
}

/// Refuses fields that make PEFT compute something else than x W^T + bias + s x A^T B^T.
inline void refuse_other_mathematics(Json const& document, std::string_view file) {
  auto const refuse = [&](std::string_view key, std::string const& expected) {
    throw InputError{at(file, std::string{key} + ": expected " + expected + ", found " +
                                  json::shown(document.at(key)))};
  };
  auto const is_unset = [&](std::string_view key) {
    auto const entry = document.find(key);
    return entry == document.end() || entry->is_null() || *entry == false ||
           (entry->is_structured() && entry->empty());
  };
  for (auto const key :
       {"fan_in_fan_out", "use_dora", "lora_bias", "use_qalora", "use_bdlora", "rank_pattern",
        "alpha_pattern", "layer_replication", "alora_invocation_tokens", "trainable_token_indices",
        "target_parameters", "megatron_config", "velora_config", "kasa_config", "monteclora_config",
        "arrow_config"}) {
    if (!is_unset(key)) refuse(key, "it unset, because it is not supported");
  }
  if (auto const bias = json::find<std::string>(document, "bias", file); bias && *bias != "none") {
    refuse("bias", "\"none\"");
  }
  // PiSSA, OLoRA, LoftQ and others start from a changed base model, which the file does not hold.
  auto const start = document.find("init_lora_weights");
  if (start == document.end() || start->is_null() || start->is_boolean()) return;
  for (auto const harmless : {"gaussian", "eva", "orthogonal"}) {
    if (*start == harmless) return;
  }
  refuse("init_lora_weights", "true, false, \"gaussian\", \"eva\" or \"orthogonal\"");
}

inline std::vector<std::int64_t> read_layers(Json const& document, std::string_view file) {
  auto const key = "layers_to_transform";
  auto const entry = document.find(key);
  if (entry == document.end() || entry->is_null()) return {};
  auto layers = std::vector<std::int64_t>{};
  for (auto const& layer : entry->is_array() ? *entry : Json::array({*entry})) {
    auto const number = json::detail::convert<std::int64_t>(layer);
    if (!number) {
      throw InputError{
          at(file, std::string{key} + ": expected integers, found " + json::shown(layer))};
    }
    layers.push_back(*number);
  }
  refuse_many(layers.size(), key, file);
  return layers;
}

}  // namespace detail
}  // namespace peft

inline PeftConfig PeftConfig::from_json(Json const& document, std::string_view file) {
  auto const refuse = [&](std::string_view key, std::string const& expected) {
    throw InputError{at(file, std::string{key} + ": expected " + expected + ", found " +
                                  json::shown(document.at(key)))};
  };
  if (json::require<std::string>(document, "peft_type", file) != "LORA")
    refuse("peft_type", "\"LORA\"");
  peft::detail::refuse_other_mathematics(document, file);

  auto config = PeftConfig{};
  auto& lora = config.lora;
  lora.rank = json::within<std::int64_t>(json::require<std::int64_t>(document, "r", file), 1,
                                         most_rank, "r", file);
  lora.alpha = static_cast<float>(json::within(json::require<double>(document, "lora_alpha", file),
                                               -most_alpha, most_alpha, "lora_alpha", file));
  lora.dropout =
      static_cast<float>(json::find<double>(document, "lora_dropout", file).value_or(0.0));
  if (lora.dropout < 0 || lora.dropout >= 1) refuse("lora_dropout", "at least 0 and less than 1");
  auto const stabilised = json::find<bool>(document, "use_rslora", file).value_or(false);
  lora.scaling = stabilised ? LoraScaling::rank_stabilised : LoraScaling::plain;

  config.target_modules = peft::detail::read_names(document, "target_modules", file);
  if (peft::empty(config.target_modules)) {
    throw InputError{at(file, "target_modules: expected at least one module, found none")};
  }
  config.exclude_modules = peft::detail::read_names(document, "exclude_modules", file);
  config.layers_to_transform = peft::detail::read_layers(document, file);
  auto const patterns = peft::detail::read_names(document, "layers_pattern", file);
  config.layers_pattern = std::holds_alternative<std::string>(patterns)
                              ? std::vector{std::get<std::string>(patterns)}
                              : std::get<std::vector<std::string>>(patterns);
  for (auto const& pattern : config.layers_pattern) {
    auto const plain = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
    };
    if (!std::ranges::all_of(pattern, plain)) refuse("layers_pattern", "plain names");
  }
  if (std::holds_alternative<std::string>(config.target_modules) &&
      (!config.layers_to_transform.empty() || !config.layers_pattern.empty())) {
    refuse("target_modules", "a list where layers are chosen");
  }
  config.modules_to_save = peft::detail::read_list(document, "modules_to_save", file);
  config.task_type = json::find<std::string>(document, "task_type", file).value_or("");
  config.base_model =
      json::find<std::string>(document, "base_model_name_or_path", file).value_or("");
  return config;
}

inline Json PeftConfig::to_json() const {
  auto const names = [](ModuleNames const& modules) {
    return std::visit([](auto const& value) { return value.empty() ? Json{} : Json(value); },
                      modules);
  };
  auto const list = [](auto const& values) { return values.empty() ? Json{} : Json(values); };
  auto const text = [](std::string const& value) { return value.empty() ? Json{} : Json(value); };
  // 0.1 rather than 0.10000000149011612.
  auto const shortest = [](float value) {
    char digits[32] = {};
    std::to_chars(digits, digits + sizeof digits, value);
    return Json(std::strtod(digits, nullptr));
  };
  auto const number = [&](float value) {  // PEFT takes alpha for an integer
    auto const is_integer = value == std::floor(value) && std::fabs(value) <= most_alpha;
    return is_integer ? Json(static_cast<std::int64_t>(value)) : shortest(value);
  };
  // Key by key: one large initializer list takes the compiler two seconds.
  auto document = Json::object();
  document["peft_type"] = "LORA";
  document["task_type"] = text(task_type);
  document["base_model_name_or_path"] = text(base_model);
  document["r"] = lora.rank;
  document["lora_alpha"] = number(lora.alpha);
  document["lora_dropout"] = shortest(lora.dropout);
  document["use_rslora"] = lora.scaling == LoraScaling::rank_stabilised;
  document["target_modules"] = names(target_modules);
  document["exclude_modules"] = names(exclude_modules);
  document["modules_to_save"] = list(modules_to_save);
  document["layers_to_transform"] = list(layers_to_transform);
  document["layers_pattern"] = list(layers_pattern);
  document["bias"] = "none";
  document["fan_in_fan_out"] = false;
  document["use_dora"] = false;
  document["init_lora_weights"] = true;
  document["inference_mode"] = true;
  document["rank_pattern"] = Json::object();
  document["alpha_pattern"] = Json::object();
  return document;
}

inline bool PeftConfig::adapts(std::string_view path) const {
  if (!peft::empty(exclude_modules) && peft::matches(exclude_modules, path)) return false;
  auto saved = modules_to_save;
  if (task_type == "TOKEN_CLS" || task_type == "SEQ_CLS") {  // PEFT adds a classification's heads
    saved.insert(saved.end(), {"classifier", "score"});
  }
  auto const dotted = "." + std::string{path} + ".";
  for (auto const& module : saved) {
    if (dotted.find("." + module + ".") != dotted.npos) return false;
  }
  if (!peft::matches(target_modules, path)) return false;
  // A path that is listed as a whole is adapted in whatever layer it lies.
  auto const listed = std::get_if<std::vector<std::string>>(&target_modules);
  if (listed == nullptr || layers_to_transform.empty() || std::ranges::count(*listed, path) != 0) {
    return true;
  }
  auto index = layers_pattern.empty() ? peft::layer_index(path, "") : std::nullopt;
  for (auto const& pattern : layers_pattern) {
    if (!index) index = peft::layer_index(path, pattern);
  }
  return index && std::ranges::count(layers_to_transform, *index) != 0;
}

}  // namespace qlora::inline v1
