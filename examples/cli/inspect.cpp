// qlora inspect: what a model, an adapter or a data file holds.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include <qlora/adapt/peft.hpp>
#include <qlora/data/read.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/report/progress.hpp>
#include <qlora/report/table.hpp>

#include "commands.hpp"
#include "options.hpp"

namespace qlora::cli {
namespace {

using report::Align;

/// A table of properties, headed by what has them.
report::Table properties(std::string kind, std::filesystem::path const& path) {
  return report::Table{{{std::move(kind), Align::left}, {path.string(), Align::left}}};
}

void print(report::Table const& table) {
  std::cout << table.text(report::terminal_width(stdout));
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

void inspect_adapter(std::filesystem::path const& path) {
  auto const adapter = PeftAdapter::read(path);
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
  table.add({"base model", adapter.config.base_model})
      .add({"rank", lora.rank})
      .add({"alpha", lora.alpha})
      .add({"scaling", stabilised ? "alpha / sqrt(rank)" : "alpha / rank"})
      .add({"scale", lora.scale()})
      .add({"dropout", lora.dropout})
      .add({"adapted layers", layers.size()})
      .add({"classifier", described_head(adapter)})
      .add({"trained parameters", parameters});
  print(table);

  auto const listed = std::get_if<std::vector<std::string>>(&target_modules);
  auto const names =
      listed != nullptr ? *listed : std::vector{std::get<std::string>(target_modules)};
  auto targets = report::Table{{{"target", Align::left}, {"modules"}}};
  auto const matches = [&](std::string const& name, std::string const& module) {
    return peft::matches(listed != nullptr ? ModuleNames{std::vector{name}} : ModuleNames{name},
                         module);
  };
  for (auto const& name : names) {
    // A module counts once: "output.dense" is the end of "attention.output.dense", too.
    auto const is_best = [&](std::string const& module) {
      return matches(name, module) && std::ranges::none_of(names, [&](std::string const& other) {
               return other.size() > name.size() && matches(other, module);
             });
    };
    targets.add({name, std::ranges::count_if(paths, is_best)});
  }
  std::cout << "\n";
  print(targets);
}

void inspect_data(std::filesystem::path const& path) {
  auto lengths = std::vector<std::size_t>{};
  auto residues = std::size_t{0};
  auto positives = std::ptrdiff_t{0};
  auto negatives = std::ptrdiff_t{0};
  auto skipped = SkipCounts{};
  auto const format = recognise(path);
  for_each_annotated(path, format, [&](AnnotatedProtein const& protein) {
    lengths.push_back(protein.sequence.size());
    residues += protein.sequence.size();
    auto const [labels, reason] = label(protein, {});
    positives += std::ranges::count(labels, label_positive);
    negatives += std::ranges::count(labels, label_negative);
    if (!reason.empty()) ++skipped[std::string{reason}];
  });
  std::ranges::sort(lengths);
  auto const unknown = static_cast<std::ptrdiff_t>(residues) - positives - negatives;
  auto table = properties("data", path);
  table.add({"format", std::string{format_name(format)}})
      .add({"proteins", lengths.size()})
      .add({"residues", residues})
      .add({"positives", positives})
      .add({"negatives", negatives})
      .add({"unknown", unknown})
      .add({"shortest", lengths.front()})
      .add({"median length", lengths[lengths.size() / 2]})
      .add({"longest", lengths.back()});
  if (format != DataFormat::fasta) {
    for (auto const& [reason, count] : skipped) table.add({"without labels: " + reason, count});
  }
  print(table);
}

struct Inspect {
  std::string path;
  MachineOptions machine;

  void operator()() {
    machine.apply();
    auto ignored = std::error_code{};
    auto const is_file = std::filesystem::is_regular_file(path, ignored);
    if (is_file && !path.ends_with(".bin")) return inspect_data(path);
    auto const is_adapter = std::filesystem::exists(path + "/adapter_config.json", ignored);
    return is_adapter ? inspect_adapter(path) : inspect_model(find_model(path));
  }
};

}  // namespace

void add_inspect(CLI::App& app) {
  auto* const command =
      app.add_subcommand("inspect", "What a model, an adapter or a data file holds.");
  auto const inspect = std::make_shared<Inspect>();
  add_required(*command, "path", inspect->path,
               "folder of a model or adapter, a model's name in the Hugging Face cache, or a file")
      ->configurable(false);
  inspect->machine.add_to(*command);
  add_config(*command);
  command->footer("Example:\n  qlora inspect adapter");
  command->callback([inspect] { (*inspect)(); });
}

}  // namespace qlora::cli
