// qlora import: a pickled model or adapter as a folder of safetensors.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/import.hpp>
#include <qlora/report/table.hpp>

#include "commands.hpp"
#include "options.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

struct Import {
  std::string input, out;
  MachineOptions machine;

  void operator()() {
    machine.apply();
    auto const folder = find_model(input);
    auto ignored = std::error_code{};
    if (!std::filesystem::is_directory(folder, ignored)) {
      throw InputError{
          at(input, "expected the folder with the file and its configuration, found a file")};
    }
    auto const is_adapter = std::filesystem::exists(folder / "adapter_config.json", ignored);
    auto const termination = Termination{};  // leaves no part of a model
    is_adapter ? import_adapter(folder)
               : import_model(folder, out, {.before_tensor = Termination::check});
    if (!machine.quiet) std::cerr << (is_adapter ? "adapter in " : "model in ") << out << "\n";
  }

 private:
  void import_adapter(std::filesystem::path const& folder) const {
    auto const imported = import_adapter_folder(folder, out);
    auto table = report::Table{{{"target", report::Align::left}, {"modules"}}};
    for (auto const& [name, modules] : imported.targets) table.add({printable(name), modules});
    std::cout << table.text();
    if (imported.folded_classifier && !machine.quiet) {
      std::cerr << input << ": LoRA on the classifier is folded into the saved classifier\n";
    }
  }
};

}  // namespace

void add_import(CLI::App& app) {
  auto* const command = app.add_subcommand(
      "import", "Convert a pickled model or adapter (.bin) to safetensors, running nothing in it.");
  auto const importing = std::make_shared<Import>();
  add_required(*command, "--input", importing->input,
               "folder with pytorch_model.bin and config.json, or adapter_model.bin and "
               "adapter_config.json; or a model's name in the Hugging Face cache");
  add_required(*command, "--out", importing->out, "folder to fill");
  importing->machine.add_to(*command);
  add_config(*command);
  command->footer("Example:\n  qlora import --input old-adapter --out adapter");
  command->callback([importing] { (*importing)(); });
}

}  // namespace qlora::cli
