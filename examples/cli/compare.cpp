// qlora compare: which placement of adapters works better.
#include "compare.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>

#include "arguments.hpp"
#include "arm_runs.hpp"
#include "baselines.hpp"
#include "commands.hpp"
#include "comparison.hpp"
#include "learning_rates.hpp"
#include "notes.hpp"
#include "numbers.hpp"
#include "study_report.hpp"
#include "team.hpp"

namespace qlora::cli {

void CompareOptions::add_to(CLI::App& command) {
  add_option(
      command, "--arms", arms,
      "placements to compare, each with its own flags after a colon: "
      "qkv, all, card, head, qkv:r=6, all:r=8,quant=none (keys r, alpha, dropout, lr, quant, "
      "labels, base; floors are labels=shuffled, within each protein, and base=random, without "
      "pre-training)");
  add_option(command, "--seeds", seeds, "runs of each arm, with consecutive seeds from --seed")
      ->check(CLI::Range(1, 1'000'000));
  add_option(
      command, "--baselines", baselines,
      "methods without a network beside the arms: frequency, window, homology, and truth, the "
      "labels in a folder of that name beside the data, if there is one; or none");
  add_option(command, "--margin", margin,
             "arms whose average precision differs by less count as equivalent; a question for "
             "whoever asks, to be settled before the runs");
  add_name(command, "--groups", files.groups,
           "groups.tsv, which says what proteins are relatives; by default the one beside the "
           "test or the training file");
  add_option(command, "--choose-lr", rates,
             "learning rates, such as 1e-3,3e-3,1e-2: each arm takes the one with the best average "
             "precision on --valid, by a seed of no other run");
  add_switch(command, "--no-null", no_null,
             "leave out the first arm with other seeds, which shows what is called different where "
             "nothing is");
  add_switch(command, "--no-equal-loss", no_equal_loss,
             "leave out the metrics after each epoch, which a comparison at equal training loss "
             "needs");
  add_switch(command, "--published", published,
             "print the model card's numbers, too; the report always has them");
  run.intervals.add_to(command);
  run.training.add_to(command);
  run.checkpoints.add_to(command);
  run.machine.add_to(command);
  add_config(command);
}

void CompareOptions::prepare() {
  check();
  if (!parts.is_part()) Team::expect_all();
  run.machine.apply();
}

void CompareOptions::check() const {
  if (!(margin >= 0. && margin <= 1.)) {
    throw InputError{"--margin: expected a number from 0 to 1, found " + exact(margin)};
  }
  parts.check();
  if ((parts.is_part() || parts.slurm > 0) && !rates.empty()) {
    throw InputError{
        "--part, --slurm: expected no --choose-lr, for whose runs every part would wait"};
  }
  parse_baselines(baselines);
  if (!parse_rates(rates).empty() && files.valid.empty()) {
    throw InputError{"--choose-lr: expected --valid beside it, found none"};
  }
  for (auto const& arm : parse_arms(arms)) {
    auto training = arm.apply(run.training);
    qlora::check(training.lora(run.machine.seed));
    qlora::check(training.fit());
    for (auto const& rate : parse_rates(rates)) {
      training.learning_rate = *parse_number<double>(rate);
      qlora::check(training.fit());
    }
  }
}

namespace {

/// Arms and seeds, without runs yet.
class Plan {
 public:
  explicit Plan(CompareOptions const& options)
      : first_{options.run.machine.seed}, count_{static_cast<std::uint64_t>(options.seeds)} {}

  ArmResults arm(Arm arm) const { return with_seeds(std::move(arm), first_); }
  /// With seeds that no arm has.
  ArmResults null(Arm arm) const { return with_seeds(std::move(arm), first_ + count_); }
  /// Of the runs that choose a learning rate: a seed of no other run, which would carry the luck
  /// that it was chosen for.
  std::uint64_t choosing_seed() const { return first_ + 2 * count_; }

 private:
  ArmResults with_seeds(Arm arm, std::uint64_t from) const {
    auto results = ArmResults{.arm = std::move(arm), .seeds = {}, .runs = {}};
    for (auto seed = from; seed < from + count_; ++seed) results.seeds.push_back(seed);
    return results;
  }

  std::uint64_t first_, count_;
};

bool has_rate(Arm const& arm) {
  return std::ranges::find(arm.changes, "lr", &Arm::Change::first) != arm.changes.end();
}

/// Whether a comparison was begun in that folder.
bool is_study(std::filesystem::path const& folder) {
  return configured(folder).contains("arms");
}

/// Throws InputError for a folder with something in it that is not to be resumed. Of a study in
/// parts, somebody else may be writing what is not there yet.
void refuse_other(CompareOptions const& options) {
  auto const out = std::filesystem::path{options.out};
  if (!options.resume) {
    refuse_occupied_run(out, is_study);
  } else if (!is_study(out) && (options.parts.is_part() || !is_beginning(out))) {
    refuse_occupied(out);
  }
}

/// What is wrong with the last arm is said now rather than when its turn comes. Returns how the
/// frozen weights are stored, as a flag.
std::string check_models(std::vector<Arm> const& arms, CompareOptions const& options,
                         ArmRuns const& runs) {
  auto const& training = options.run.training;
  auto quant = std::string{training.scheme().name};
  auto notes = std::set<std::string>{};
  for (auto const& arm : arms) {
    auto const run = runs.opened(arm, options.run.machine.seed);
    for (auto& note : run.notes()) {
      if (notes.insert(note).second && !options.run.machine.quiet) hold_note(note);
    }
    auto const stored = run.quantization();  // of a quantized model: as it is, whatever is asked
    if (stored != arm.apply(training).scheme().name) quant = stored;
  }
  return quant;
}

/// Seed by seed, so that an unfinished study has seen every arm equally often; the null is last.
void run_all(Comparison& comparison, ArmRuns& runs) {
  auto planned = std::vector<PlannedRun>{};
  for (auto i = std::size_t{0}; i < comparison.arms.front().seeds.size(); ++i) {
    for (auto const& one : comparison.arms) planned.push_back({one.arm, one.seeds[i]});
  }
  auto const take = [&](ArmResults& results) {
    for (auto const seed : results.seeds) {
      auto result = runs.result({results.arm, seed});
      if (!result) {
        throw InputError{"--out: expected a folder that all processes share, found no run of " +
                         results.arm.name + " with seed " + std::to_string(seed)};
      }
      results.runs.push_back(std::move(*result));
    }
  };
  if (comparison.null) {
    for (auto const seed : comparison.null->seeds) planned.push_back({comparison.null->arm, seed});
  }
  runs.make(planned);
  if (!runs.takes_all()) return;
  for (auto& one : comparison.arms) take(one);
  if (comparison.null) take(*comparison.null);
}

}  // namespace

void compare(CompareOptions options, CLI::App const& command) {
  if (options.parts.slurm > 0) {  // for other machines
    options.check();
    std::cout << slurm_script(command, options.parts.slurm);
    return;
  }
  options.prepare();
  auto const is_part = options.parts.is_part();
  if (is_part) options.resume = true;  // what is there already is another part's, or this one's
  auto const& machine = options.run.machine;
  auto const splits = Splits::read(options.files, options.run.training.max_length, machine);
  if (!options.rates.empty()) splits.valid.value().expect_both_classes();
  auto const out = std::filesystem::path{options.out};
  auto const is_first = Team::is_first();
  if (is_first && !is_part) refuse_other(options);
  auto runs = ArmRuns{options, splits};
  auto arms = parse_arms(options.arms);
  auto const quant = check_models(arms, options, runs);
  runs.identify(command, quant);
  if (is_first && options.resume) runs.check_records();
  auto comparison =
      Comparison{.arms = {},
                 .null = {},
                 .baselines = {},
                 .rates = {},
                 .groups_file = splits.groups_file,
                 .margin = options.margin,
                 .published = options.published ? Published::shown : Published::in_json};
  Team::expect_same(
      runs.identity().dump() + (options.resume ? "resume" : "") + settings(command, {}),
      "the same model, data and flags");
  auto lock = std::unique_ptr<FolderLock>{};
  auto config = std::string{};
  if (is_first) {
    if (!is_part) {
      comparison.baselines = run_baselines(options.baselines, command.count("--baselines") > 0,
                                           splits, machine.progress());
    }
    config = settings(command,
                      {{"device", machine.device},
                       {"compute", machine.compute},
                       {"quant", quant},
                       {"baselines", is_part ? options.baselines : comparison.baseline_names()}});
    lock = claim_folder(out, is_part, [&] { refuse_other(options); });
    write_atomically(out / "config.toml", config);
    if (is_part) lock.reset();  // from here on, each run has its own
  }
  Team::expect_shared(out / "config.toml");
  say_notes();
  if (options.seeds < 3 && !machine.quiet) {
    std::cerr << "--seeds " << options.seeds << ": verdicts need at least three seeds\n";
  }
  auto const rates = parse_rates(options.rates);
  auto const plan = Plan{options};
  auto trials = std::vector<PlannedRun>{};
  for (auto const& arm : arms) {
    if (has_rate(arm)) continue;
    std::ranges::move(runs_at_rates(arm, rates, plan.choosing_seed()), std::back_inserter(trials));
  }
  runs.expect({trials.size(), (arms.size() + (options.no_null ? 0 : 1)) *
                                  static_cast<std::size_t>(options.seeds)});
  runs.make(trials, OnDivergence::go_on);
  for (auto& arm : arms) {
    if (!rates.empty() && !has_rate(arm)) {
      arm = choose_rate(arm, rates, plan.choosing_seed(), runs, comparison.rates);
      auto const note = note_of_edge(comparison.rates);
      if (note && !machine.quiet) std::cerr << *note << "\n";
    }
    comparison.arms.push_back(plan.arm(arm));
  }
  refuse_repeated(arms);  // one may have chosen what another has
  if (!options.no_null) comparison.null = plan.null(arms.front());
  run_all(comparison, runs);
  if (!runs.takes_all()) return;
  write_json(out / "comparison.json", comparison.json());
  write_atomically(
      out / "report.html",
      study_report(comparison, splits,
                   Provenance::of(command, out, config, options.run.model, runs.fingerprint())));
  std::cout << comparison.text(report::Terminal::of(stdout));
  if (!machine.quiet) std::cerr << "report: " << (out / "report.html").string() << "\n";
}

void add_compare(CLI::App& app) {
  auto* const command =
      app.add_subcommand("compare", "Compare placements of adapters on the same data.");
  auto const options = std::make_shared<CompareOptions>();
  add_required(*command, "--model", options->run.model,
               "model folder, or a name in the Hugging Face cache");
  add_required(*command, "--train", options->files.train, "labelled proteins to train on");
  add_name(*command, "--valid", options->files.valid, "labelled proteins to report on as well");
  add_required(*command, "--test", options->files.test, "labelled proteins to report on");
  add_required(*command, "--out", options->out,
               "folder to fill: comparison.json, report.html, one folder an arm and seed");
  options->add_to(*command);
  command
      ->add_flag("--resume", options->resume,
                 "go on with the study in --out: runs that are done there are not made again; same "
                 "model, data and training flags")
      ->configurable(false);
  options->parts.add_to(*command);
  command->footer(
      "Example:\n  qlora compare --model facebook/esm2_t6_8M_UR50D --train train.txt \\\n"
      "      --test test.txt --arms qkv,all,qkv:r=6 --seeds 5 --out study");
  command->callback([options, command] { compare(*options, *command); });
}

}  // namespace qlora::cli
