// qlora quantize: a model as bitsandbytes stores it.
#include <iostream>
#include <memory>
#include <string>

#include <qlora/model/cache.hpp>
#include <qlora/model/quantize_folder.hpp>

#include "commands.hpp"
#include "options.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

struct Quantize {
  std::string model, out;
  std::string quant = "nf4";
  MachineOptions machine;

  void operator()() {
    machine.apply();
    auto const source = ModelFolder{find_model(model)};
    auto const termination = Termination{};  // leaves no part of a model
    quantize_folder(source, quant::Any::parse(quant), out, {.before_tensor = Termination::check});
    if (machine.quiet) return;
    if (!source.has_classifier()) std::cerr << model << ": no classifier, so none is written\n";
    std::cerr << quant << " model in " << out << "\n";
  }
};

}  // namespace

void add_quantize(CLI::App& app) {
  auto* const command =
      app.add_subcommand("quantize", "Quantize a model's encoder, as bitsandbytes stores it.");
  auto const quantize = std::make_shared<Quantize>();
  add_required(*command, "--model", quantize->model,
               "model folder, or a name in the Hugging Face cache");
  add_option(*command, "--quant", quantize->quant, "encoder's weights: nf4, fp4 or int8")
      ->check(CLI::IsMember({"nf4", "fp4", "int8"}));
  add_required(*command, "--out", quantize->out, "folder to fill: a model that transformers loads");
  quantize->machine.add_to(*command);
  add_config(*command);
  command->footer(
      "Example:\n  qlora quantize --model facebook/esm2_t33_650M_UR50D --quant nf4 --out esm2-nf4");
  command->callback([quantize] { (*quantize)(); });
}

}  // namespace qlora::cli
