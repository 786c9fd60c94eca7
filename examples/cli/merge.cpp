// qlora merge: a model with an adapter merged into it.
#include <iostream>
#include <memory>
#include <string>

#include <qlora/core/file.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/merge.hpp>

#include "adapter_options.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "session.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

struct Merge {
  std::string model, adapter, out;
  MachineOptions machine;

  void operator()() {
    machine.apply();
    refuse_random_base(adapter);
    auto const base = ModelFolder{find_model(model)};
    auto const stored = PeftAdapter::read(adapter);
    auto const termination = Termination{};  // leaves no part of a model
    auto const unmatched =
        merge_adapter(base, stored, adapter, out, {.before_tensor = Termination::check});
    if (machine.quiet) return;
    if (auto const note = note_of_other_base(adapter, stored.config.base_model, model)) {
      std::cerr << *note << "\n";
    }
    for (auto const& target : unmatched) {
      std::cerr << adapter << ": target \"" << printable(target)
                << "\" matches no module of the model\n";
    }
    std::cerr << "merged model in " << out << "\n";
  }
};

}  // namespace

void add_merge(CLI::App& app) {
  auto* const command =
      app.add_subcommand("merge", "Merge an adapter into its model, in full precision.");
  auto const merge = std::make_shared<Merge>();
  add_required(*command, "--model", merge->model,
               "model folder, or a name in the Hugging Face cache");
  add_required(*command, "--adapter", merge->adapter, "PEFT adapter folder");
  add_required(*command, "--out", merge->out, "folder to fill: a model that transformers loads");
  merge->machine.add_to(*command);
  add_config(*command);
  command->footer(
      "Example:\n  qlora merge --model facebook/esm2_t6_8M_UR50D --adapter adapter --out merged");
  command->callback([merge] { (*merge)(); });
}

}  // namespace qlora::cli
