// qlora compare: which placement of adapters works better.
#include "compare.hpp"

#include <iostream>
#include <memory>
#include <set>

#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>

#include "arguments.hpp"
#include "commands.hpp"
#include "comparison.hpp"

namespace qlora::cli {

void CompareOptions::add_to(CLI::App& command) {
  add_option(
      command, "--arms", arms,
      "placements to compare, each with its own flags after a colon: "
      "qkv, all, card, head, qkv:r=6, all:r=8,quant=none (keys r, alpha, dropout, lr, quant)");
  add_option(command, "--seeds", seeds, "runs of each arm, with consecutive seeds from --seed")
      ->check(CLI::Range(1, 1'000'000));
  run.training.add_to(command);
  run.machine.add_to(command);
  add_config(command);
}

void CompareOptions::prepare() {
  run.machine.apply();
  for (auto const& arm : parse_arms(arms)) {
    auto const training = arm.apply(run.training);
    qlora::check(training.lora(run.machine.seed));
    qlora::check(training.fit());
  }
}

void compare(CompareOptions options, CLI::App const& command) {
  options.prepare();
  auto const& machine = options.run.machine;
  auto comparison = Comparison{};
  for (auto& arm : parse_arms(options.arms)) comparison.arms.push_back({std::move(arm), {}});
  auto const splits = Splits::read(options.train, options.valid, options.test,
                                   options.run.training.max_length, machine);
  auto const fingerprint = model_fingerprint(options.run.model);
  auto const run_of = [&](Arm const& arm, std::uint64_t seed, std::string const& label) {
    auto run = options.run;
    run.fingerprint = fingerprint;
    run.label = label + arm.name + ", seed " + std::to_string(seed) + ": ";
    run.placement = placement::Sites::parse(arm.placement);
    run.training = arm.apply(options.run.training);
    run.machine.seed = seed;
    return Run{std::move(run), splits};
  };
  auto const out = std::filesystem::path{options.out};
  refuse_occupied(out);
  for (auto i = 0; i < options.seeds; ++i) {
    comparison.seeds.push_back(machine.seed + static_cast<std::uint64_t>(i));
  }
  // What is wrong with the last arm is said now rather than when its turn comes.
  auto notes = std::set<std::string>{};
  auto quant = std::string{options.run.training.scheme().name};
  for (auto const& [arm, runs] : comparison.arms) {
    auto const run = run_of(arm, comparison.seeds.front(), "");
    for (auto& note : run.notes()) {
      if (notes.insert(note).second && !machine.quiet) std::cerr << note << "\n";
    }
    auto const stored = run.quantization();  // of a quantized model: as it is, whatever is asked
    if (stored != arm.apply(options.run.training).scheme().name) quant = stored;
  }
  create_folder(out);
  write_atomically(out / "config.toml", settings(command, {{"device", machine.device},
                                                           {"compute", machine.compute},
                                                           {"quant", quant}}));
  auto number = std::size_t{0};
  auto const total = comparison.seeds.size() * comparison.arms.size();
  for (auto const seed : comparison.seeds) {
    for (auto& [arm, runs] : comparison.arms) {
      auto const label = std::to_string(++number) + "/" + std::to_string(total) + " ";
      auto const folder = out / arm.folder() / ("seed-" + std::to_string(seed));
      std::filesystem::create_directories(folder);
      runs.push_back(run_of(arm, seed, label)(folder));
    }
  }
  write_json(out / "comparison.json", comparison.json());
  std::cout << comparison.text(report::terminal_width(stdout));
}

void add_compare(CLI::App& app) {
  auto* const command =
      app.add_subcommand("compare", "Compare placements of adapters on the same data.");
  auto const options = std::make_shared<CompareOptions>();
  add_required(*command, "--model", options->run.model,
               "model folder, or a name in the Hugging Face cache");
  add_required(*command, "--train", options->train, "labelled proteins to train on");
  add_option(*command, "--valid", options->valid, "labelled proteins to report on as well");
  add_required(*command, "--test", options->test, "labelled proteins to report on");
  add_required(*command, "--out", options->out,
               "folder to fill: comparison.json, one folder an arm and seed");
  options->add_to(*command);
  command->footer(
      "Example:\n  qlora compare --model facebook/esm2_t6_8M_UR50D --train train.txt \\\n"
      "      --test test.txt --arms qkv,all,qkv:r=6 --seeds 5 --out study");
  command->callback([options, command] { compare(*options, *command); });
}

}  // namespace qlora::cli
