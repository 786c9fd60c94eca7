// qlora train: one adapter.
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/model/adapter.hpp>

#include "adapter_options.hpp"
#include "arguments.hpp"
#include "commands.hpp"
#include "notes.hpp"
#include "run.hpp"
#include "run_record.hpp"
#include "scores_table.hpp"
#include "team.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

struct Train {
  RunOptions run;
  SplitFiles files;
  std::string out;
  std::string placement = "all";

  void operator()(CLI::App const& command) {
    Team::expect_all();
    run.machine.apply();
    if (!run.select.empty() && files.valid.empty()) {
      throw InputError{"--select: expected --valid beside it, found none"};
    }
    auto settled =
        std::vector<Flag>{{"device", run.machine.device}, {"compute", run.machine.compute}};
    if (run.init_adapter.empty()) {
      run.placement = placement::Sites::parse(placement);
    } else {
      refuse_random_base(run.init_adapter);
      run.placement = placement_of(PeftAdapter::read(run.init_adapter));
      for (auto const* const flag : {"rank", "alpha", "rslora", "placement"}) {
        settled.emplace_back(flag, "");
      }
      if (!run.machine.quiet) {
        hold_note(run.init_adapter + ": rank, alpha and placement are this adapter's");
      }
    }
    auto const splits = Splits::read(files, run.training.max_length, run.machine);
    auto const is_first = Team::is_first();
    if (is_first && !run.checkpoints.resume) refuse_occupied_run(out, CheckpointFolder::is_in);
    run.ranks = &Team::communicator();
    run.fingerprint = model_fingerprint(run.model);
    auto prepared = Run{run, splits};
    auto const quantization = prepared.quantization();
    auto identity = run_identity(command, {"select"}, run, splits, quantization);
    identity["seed"] = run.machine.seed;
    if (!run.init_adapter.empty()) {
      for (auto const* const file : {"adapter_config.json", "adapter_model.safetensors"}) {
        identity["init-adapter"][file] =
            file_fingerprint(std::filesystem::path{run.init_adapter} / file);
      }
    }
    say_notes();
    if (!run.machine.quiet) {
      for (auto const& note : prepared.notes()) std::cerr << note << "\n";
    }
    settled.emplace_back("quant", quantization);
    prepared.identify(identity);
    Team::expect_same(
        identity.dump() + (run.checkpoints.resume ? "resume" : "") + settings(command, {}),
        "the same model, data and flags");
    auto const termination = Termination{};  // from here on there is something to go on from
    auto lock = std::optional<FolderLock>{};
    if (is_first) {
      create_folder(out);
      lock.emplace(out);
      if (run.checkpoints.resume) {
        prepared.check_folder(out);
      } else {
        refuse_occupied(out);  // by another run, while this one opened its model
      }
      write_atomically(std::filesystem::path{out} / "config.toml", settings(command, settled));
    }
    Team::expect_shared(std::filesystem::path{out} / "config.toml");
    auto const result = prepared(out);
    if (!is_first) return;
    std::cout << scores_table(result.scores).text(report::Terminal::of(stdout));
    if (!run.machine.quiet) {
      if (!run.select.empty()) std::cerr << "kept epoch " << result.best_epoch << "\n";
      std::cerr << result.trainable_parameters << " trained parameters, "
                << report::magnitude(result.tokens_per_second()) << " tokens/s, "
                << report::duration(result.total_seconds) << ", peak memory "
                << report::magnitude(static_cast<double>(result.peak_bytes)) << "B; adapter in "
                << out << "\n";
    }
  }
};

}  // namespace

void add_train(CLI::App& app) {
  auto* const command = app.add_subcommand("train", "Train one adapter.");
  auto const train = std::make_shared<Train>();
  auto& run = train->run;
  add_required(*command, "--model", run.model, "model folder, or a name in the Hugging Face cache");
  add_required(*command, "--train", train->files.train, "labelled proteins to train on");
  add_name(*command, "--valid", train->files.valid, "labelled proteins to choose by");
  add_name(*command, "--test", train->files.test, "labelled proteins to report on");
  add_required(*command, "--out", train->out, "folder to fill: adapter, metrics.json, history.csv");
  run.intervals.unit = "cluster";
  run.intervals.add_to(*command);
  add_name(*command, "--groups", train->files.groups,
           "groups.tsv, which says what proteins are relatives; by default the one beside the "
           "test or the training file");
  add_option(*command, "--placement", train->placement, "adapted matrices: qkv, all, card or head")
      ->check(CLI::IsMember({"qkv", "all", "card", "head"}))
      ->group(training_group);
  add_name(*command, "--init-adapter", run.init_adapter,
           "PEFT adapter to start from, with its rank, alpha and placement");
  command
      ->add_flag("--resume", run.checkpoints.resume,
                 "go on from the newest checkpoint in --out, given the same data and flags")
      ->configurable(false);
  add_option(*command, "--select", run.select,
             "keep the epoch that is best on --valid by this metric")
      ->check(CLI::IsMember(
          std::vector<std::string>{metrics::Chosen::names.begin(), metrics::Chosen::names.end()}));
  run.training.add_to(*command);
  run.checkpoints.add_to(*command);
  run.machine.add_to(*command);
  add_config(*command);
  command->footer(
      "Example:\n  qlora train --model facebook/esm2_t6_8M_UR50D --train train.txt \\\n"
      "      --test test.txt --placement qkv --out adapter");
  command->callback([train, command] { (*train)(*command); });
}

}  // namespace qlora::cli
