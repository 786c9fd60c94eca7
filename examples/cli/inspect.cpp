// qlora inspect: what a model, an adapter or data files hold.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include <qlora/adapt/peft.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/json.hpp>
#include <qlora/model/adapter.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/report/progress.hpp>
#include <qlora/report/table.hpp>

#include "checkpoint.hpp"
#include "commands.hpp"
#include "inspect_data.hpp"
#include "options.hpp"

namespace qlora::cli {
namespace {

using report::Align;

/// A table of properties, headed by what has them.
report::Table properties(std::string kind, std::filesystem::path const& path) {
  return report::Table{{{std::move(kind), Align::left}, {path.string(), Align::left}}};
}

void print(report::Table const& table) {
  std::cout << table.text(report::Terminal::of(stdout));
}

std::string described(std::optional<BitsAndBytes> const& quantization) {
  if (!quantization) return "none";
  auto const four_bit = quantization->double_quantized ? ", double-quantized" : "";
  switch (quantization->kind) {
    case BitsAndBytes::Kind::nf4:
      return std::string{"nf4"} + four_bit;
    case BitsAndBytes::Kind::fp4:
      return std::string{"fp4"} + four_bit;
    case BitsAndBytes::Kind::int8:
      return "int8";
  }
  return {};
}

void inspect_model(std::filesystem::path const& path) {
  auto const model = ModelFolder{path};
  auto const& shape = model.config().shape;
  auto parameters = Index{0};
  for (auto const& tensor : encoder_tensors(shape)) parameters += tensor.rows * tensor.columns;
  auto table = properties("model", path);
  table.add({"layers", shape.layers})
      .add({"hidden size", shape.hidden})
      .add({"feed-forward size", shape.intermediate})
      .add({"attention heads", shape.heads})
      .add({"encoder parameters", parameters})
      .add({"quantization", described(model.config().quantization)})
      .add({"classifier", model.has_classifier() ? "present" : "absent: a head on it is fresh"});
  print(table);

  auto files =
      report::Table{{{"file", Align::left}, {"tensors"}, {"bytes"}, {"types", Align::left}}};
  for (auto const& file : model.tensors().files()) {
    auto bytes = std::size_t{0};
    auto names = std::set<std::string_view>{};
    for (auto const& tensor : file.tensors()) {
      bytes += tensor.bytes.size();
      names.insert(dtype_name(tensor.dtype));
    }
    auto types = std::string{};
    for (auto const name : names) types.append(types.empty() ? "" : " ").append(name);
    files.add({file.path().filename().string(), file.tensors().size(), bytes, types});
  }
  std::cout << "\n";
  print(files);
}

/// The classifier's part in an adapter.
std::string described_head(PeftAdapter const& adapter) {
  if (adapter.head) return "present";
  return adapter.pairs.contains("classifier") ? "LoRA on the model's" : "the model's";
}

/// The names that an adapter's configuration gives, and how many of its modules each stands for.
void print_targets(ModuleNames const& targets, std::vector<std::string> const& paths) {
  auto const listed = std::get_if<std::vector<std::string>>(&targets);
  auto const names = listed != nullptr ? *listed : std::vector{std::get<std::string>(targets)};
  auto counts = std::map<std::string_view, Index>{};
  for (auto const& module : paths) {
    // A module counts once: "output.dense" is the end of "attention.output.dense", too.
    auto best = std::string_view{};
    for (auto const& name : names) {
      auto const matches =
          listed != nullptr ? peft::has_suffix(module, name) : peft::matches(targets, module);
      if (matches && name.size() > best.size()) best = name;
    }
    if (!best.empty()) ++counts[best];
  }
  auto table = report::Table{{{"target", Align::left}, {"modules"}, {"", Align::left}}};
  for (auto const& name : names) {
    auto const count = counts[name];
    table.add({printable(name), count, count == 0 ? "matches nothing" : ""});
  }
  std::cout << "\n";
  print(table);
}

/// "0-5", "0, 2-4", "none".
std::string described_layers(std::set<int> const& layers) {
  auto text = std::string{};
  for (auto first = layers.begin(); first != layers.end();) {
    auto last = first;
    while (std::next(last) != layers.end() && *std::next(last) == *last + 1) ++last;
    text += (text.empty() ? "" : ", ") + std::to_string(*first);
    if (last != first) text += "-" + std::to_string(*last);
    first = std::next(last);
  }
  return text.empty() ? "none" : text;
}

/// Which matrices of which layers are adapted, beside those of the model where one is given.
void print_matrices(PeftAdapter const& adapter, std::optional<ModelFolder> const& model) {
  auto layers = std::map<SiteKind, std::set<int>>{};
  for (auto const& [module, pair] : adapter.pairs) {
    if (auto const site = peft::find_site(module)) layers[site->kind].insert(site->layer);
  }
  auto columns = std::vector<report::Column>{{"matrix", Align::left}, {"layers", Align::left}};
  if (model) columns.push_back({"of"});
  auto table = report::Table{columns};
  for (auto kind = 0; kind < static_cast<int>(SiteKind::classifier); ++kind) {
    auto const matrix = static_cast<SiteKind>(kind);
    auto row = std::vector<report::Cell>{module_suffix(matrix), described_layers(layers[matrix])};
    if (model) row.emplace_back(model->config().shape.layers);
    table.add(std::move(row));
  }
  std::cout << "\n";
  print(table);
}

/// A row a value of a document, those of objects under both names.
void add_values(report::Table& table, Json const& document, std::string const& prefix = {}) {
  for (auto const& [name, value] : document.items()) {
    if (value.is_object()) {
      add_values(table, value, prefix + name + ".");
    } else {
      table.add({printable(prefix + name),
                 printable(value.is_string() ? value.get<std::string>() : value.dump())});
    }
  }
}

/// What `qlora.json` beside an adapter says of its training.
void print_training(std::filesystem::path const& adapter) {
  auto const path = adapter / "qlora.json";
  auto ignored = std::error_code{};
  if (!std::filesystem::exists(path, ignored)) return;
  auto table = report::Table{{{"trained", Align::left}, {path.string(), Align::left}}};
  add_values(table, json::read_object(path));
  std::cout << "\n";
  print(table);
}

void inspect_checkpoint(std::filesystem::path const& path) {
  auto const [identity, checkpoint] = read_checkpoint(path);
  auto table = properties("checkpoint", path);
  table.add({"steps", checkpoint.training.steps})
      .add({"updates", checkpoint.training.updates})
      .add({"trained parameters", checkpoint.training.parameters.size()})
      .add({"time", report::duration(checkpoint.seconds)});
  if (!checkpoint.steps.empty()) {
    auto const& last = checkpoint.steps.back();
    table.add({"epoch", last.epoch}).add({"last loss", last.loss});
  }
  if (checkpoint.best_epoch > 0) table.add({"best epoch so far", checkpoint.best_epoch});
  print(table);
  auto run = report::Table{{{"run", Align::left}, {"", Align::left}}};
  add_values(run, identity);
  std::cout << "\n";
  print(run);
}

void inspect_adapter(std::filesystem::path const& path, std::string const& model_folder) {
  auto model = std::optional<ModelFolder>{};
  if (!model_folder.empty()) model.emplace(find_model(model_folder));
  auto const adapter = PeftAdapter::read(path);
  if (model) check_adapter(adapter, model->config().shape, path.string());
  auto const& [in_model, target_modules] = std::tie(adapter.pairs, adapter.config.target_modules);
  auto const& lora = adapter.config.lora;
  auto parameters = std::size_t{0};
  auto paths = std::vector<std::string>{};
  auto layers = std::set<int>{};
  for (auto const& [module, pair] : in_model) {
    parameters += pair.a.size() + pair.b.size();
    paths.push_back(module);
    if (auto const site = peft::find_site(module)) layers.insert(site->layer);
  }
  if (adapter.head) {
    parameters += adapter.head->weight.size() + adapter.head->bias.size();
    paths.emplace_back("classifier");
  }
  auto const stabilised = lora.scaling == LoraScaling::rank_stabilised;
  auto table = properties("adapter", path);
  table.add({"base model", printable(adapter.config.base_model)})
      .add({"rank", lora.rank})
      .add({"alpha", lora.alpha})
      .add({"scaling", stabilised ? "alpha / sqrt(rank)" : "alpha / rank"})
      .add({"scale", lora.scale()})
      .add({"dropout", lora.dropout})
      .add({"adapted layers", layers.size()})
      .add({"classifier", described_head(adapter)})
      .add({"trained parameters", parameters});
  print(table);

  located<InputError>(path.string(), [&] { print_targets(target_modules, paths); });
  print_matrices(adapter, model);
  print_training(path);
}

struct Inspect {
  std::vector<std::string> paths;
  std::string model;
  bool relatives = false;
  MachineOptions machine;

  void operator()() {
    machine.apply();
    auto const& path = paths.front();
    auto const sets = paths.size() == 1 ? data_sets_in(path) : paths;
    auto const is_adapter = holds(path, "adapter_config.json");
    if (!model.empty() && (paths.size() > 1 || !is_adapter)) {
      throw InputError{"--model: expected one adapter to compare with it, found other things"};
    }
    if (relatives && sets.size() < 2) {
      throw InputError{"--relatives: expected several data files, found one"};
    }
    if (path.ends_with(".safetensors") && paths.size() == 1) return inspect_checkpoint(path);
    if (!sets.empty()) return inspect_data(sets, relatives, machine.progress());
    auto ignored = std::error_code{};
    if (std::filesystem::is_regular_file(path, ignored) && !path.ends_with(".bin")) {
      return inspect_data(paths, false, machine.progress());
    }
    return is_adapter ? inspect_adapter(path, model) : inspect_model(find_model(path));
  }

  static bool holds(std::string const& folder, char const* file) {
    auto ignored = std::error_code{};
    return std::filesystem::exists(std::filesystem::path{folder} / file, ignored);
  }
};

}  // namespace

void add_inspect(CLI::App& app) {
  auto* const command =
      app.add_subcommand("inspect", "What a model, an adapter, a checkpoint or data files hold.");
  auto const inspect = std::make_shared<Inspect>();
  command
      ->add_option("path", inspect->paths,
                   "folder of a model, an adapter or prepared data, a model's name in the Hugging "
                   "Face cache, a checkpoint, or data files, which are compared")
      ->required()
      ->configurable(false);
  add_option(*command, "--model", inspect->model,
             "the model of an adapter: shows what it leaves alone");
  add_switch(*command, "--relatives", inspect->relatives,
             "align the proteins of data files: how many have near relatives in the others");
  inspect->machine.add_to(*command);
  add_config(*command);
  command->footer(
      "Example:\n  qlora inspect adapter --model facebook/esm2_t6_8M_UR50D\n"
      "  qlora inspect train.txt test.txt --relatives");
  command->callback([inspect] { (*inspect)(); });
}

}  // namespace qlora::cli
