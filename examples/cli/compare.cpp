// qlora compare: which placement of adapters works better.
#include "compare.hpp"

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>

#include "arguments.hpp"
#include "baselines.hpp"
#include "commands.hpp"
#include "comparison.hpp"
#include "outlook.hpp"

namespace qlora::cli {

void CompareOptions::add_to(CLI::App& command) {
  add_option(
      command, "--arms", arms,
      "placements to compare, each with its own flags after a colon: "
      "qkv, all, card, head, qkv:r=6, all:r=8,quant=none (keys r, alpha, dropout, lr, quant, "
      "labels; labels=shuffled within each protein is a floor)");
  add_option(command, "--seeds", seeds, "runs of each arm, with consecutive seeds from --seed")
      ->check(CLI::Range(1, 1'000'000));
  add_option(command, "--baselines", baselines,
             "methods without a network beside the arms: frequency, window, homology or none");
  add_option(command, "--margin", margin,
             "arms whose average precision differs by less count as equivalent; a question for "
             "whoever asks, to be settled before the runs");
  add_option(command, "--groups", files.groups,
             "groups.tsv, which says what proteins are relatives; by default the one beside the "
             "test or the training file");
  add_switch(command, "--no-null", no_null,
             "leave out the first arm with other seeds, which shows what is called different where "
             "nothing is");
  add_switch(command, "--no-equal-loss", no_equal_loss,
             "leave out the metrics after each epoch, which a comparison at equal training loss "
             "needs");
  add_switch(command, "--published", published, "show the model card's numbers, too");
  run.intervals.add_to(command);
  run.training.add_to(command);
  run.machine.add_to(command);
  add_config(command);
}

void CompareOptions::prepare() {
  run.machine.apply();
  if (!(margin >= 0.)) {
    throw InputError{"--margin: expected a number of at least 0, found " + std::to_string(margin)};
  }
  parse_baselines(baselines);
  for (auto const& arm : parse_arms(arms)) {
    auto const training = arm.apply(run.training);
    qlora::check(training.lora(run.machine.seed));
    qlora::check(training.fit());
  }
}

namespace {

/// A run that is to be made.
struct Turn {
  ArmResults* results;
  std::uint64_t seed;
};

/// Arms and seeds, without runs yet.
Comparison planned(CompareOptions const& options, Splits const& splits) {
  auto const first = options.run.machine.seed;
  auto const count = static_cast<std::uint64_t>(options.seeds);
  auto const with_seeds = [&](Arm arm, std::uint64_t from) {
    auto results = ArmResults{.arm = std::move(arm), .seeds = {}, .runs = {}};
    for (auto seed = from; seed < from + count; ++seed) results.seeds.push_back(seed);
    return results;
  };
  auto comparison =
      Comparison{.arms = {},
                 .null = {},
                 .baselines = {},
                 .groups_file = splits.groups_file,
                 .margin = options.margin,
                 .published = options.published ? Published::shown : Published::in_json};
  for (auto& arm : parse_arms(options.arms)) {
    comparison.arms.push_back(with_seeds(std::move(arm), first));
  }
  if (!options.no_null) comparison.null = with_seeds(comparison.arms.front().arm, first + count);
  return comparison;
}

/// Seed by seed, so that an unfinished study has seen every arm equally often; the null is last.
std::vector<Turn> turns(Comparison& comparison) {
  auto result = std::vector<Turn>{};
  for (auto i = std::size_t{0}; i < comparison.arms.front().seeds.size(); ++i) {
    for (auto& arm : comparison.arms) result.push_back({&arm, arm.seeds[i]});
  }
  if (comparison.null) {
    for (auto const seed : comparison.null->seeds) result.push_back({&*comparison.null, seed});
  }
  return result;
}

}  // namespace

void compare(CompareOptions options, CLI::App const& command) {
  options.prepare();
  auto const& machine = options.run.machine;
  auto const splits = Splits::read(options.files, options.run.training.max_length, machine);
  auto const fingerprint = model_fingerprint(options.run.model);
  auto const run_of = [&](Arm const& arm, std::uint64_t seed) {
    auto run = options.run;
    run.fingerprint = fingerprint;
    run.placement = placement::Sites::parse(arm.placement);
    run.training = arm.apply(options.run.training);
    run.machine.seed = seed;
    run.epoch_scores = options.no_equal_loss ? EpochScores::none : EpochScores::test;
    return run;
  };
  auto const out = std::filesystem::path{options.out};
  refuse_occupied(out);
  auto comparison = planned(options, splits);
  // What is wrong with the last arm is said now rather than when its turn comes.
  auto notes = std::set<std::string>{};
  auto quant = std::string{options.run.training.scheme().name};
  for (auto const& results : comparison.arms) {
    auto const run = Run{run_of(results.arm, results.seeds.front()), splits};
    for (auto& note : run.notes()) {
      if (notes.insert(note).second && !machine.quiet) std::cerr << note << "\n";
    }
    auto const stored = run.quantization();  // of a quantized model: as it is, whatever is asked
    if (stored != results.arm.apply(options.run.training).scheme().name) quant = stored;
  }
  create_folder(out);
  write_atomically(out / "config.toml", settings(command, {{"device", machine.device},
                                                           {"compute", machine.compute},
                                                           {"quant", quant}}));
  for (auto const& name : parse_baselines(options.baselines)) {
    comparison.baselines.emplace_back(name, run_baseline(name, splits, machine.progress()));
  }
  auto const schedule = turns(comparison);
  auto outlook = Outlook{schedule.size()};
  for (auto const& [results, seed] : schedule) {
    auto run = run_of(results->arm, seed);
    run.label = outlook.place() + results->arm.name + ", seed " + std::to_string(seed) + ": ";
    run.outlook = &outlook;
    auto const folder = out / results->arm.folder() / ("seed-" + std::to_string(seed));
    std::filesystem::create_directories(folder);
    results->runs.push_back(Run{std::move(run), splits}(folder));
    outlook.finish_run(results->runs.back().total_seconds);
    if (!machine.quiet) std::cerr << outlook.text() << "\n";
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
  add_required(*command, "--train", options->files.train, "labelled proteins to train on");
  add_option(*command, "--valid", options->files.valid, "labelled proteins to report on as well");
  add_required(*command, "--test", options->files.test, "labelled proteins to report on");
  add_required(*command, "--out", options->out,
               "folder to fill: comparison.json, one folder an arm and seed");
  options->add_to(*command);
  command->footer(
      "Example:\n  qlora compare --model facebook/esm2_t6_8M_UR50D --train train.txt \\\n"
      "      --test test.txt --arms qkv,all,qkv:r=6 --seeds 5 --out study");
  command->callback([options, command] { compare(*options, *command); });
}

}  // namespace qlora::cli
