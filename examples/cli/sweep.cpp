// qlora sweep: which settings matter, judged on validation data.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/version.hpp>

#include "arguments.hpp"
#include "commands.hpp"
#include "notes.hpp"
#include "parts.hpp"
#include "run.hpp"
#include "sweep_report.hpp"
#include "sweep_results.hpp"
#include "sweep_runs.hpp"
#include "sweep_space.hpp"
#include "team.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

class Sweep {
 public:
  RunOptions base;  ///< what is not swept
  std::string train, valid, space_file, out;
  std::string placement = "all";
  bool resume = false;
  PartOptions parts;

  void operator()(CLI::App const& command) {
    parts.check();
    base.placement = placement::Sites::parse(placement);
    auto const text = read_text(space_file, 1 << 20);
    results_.space = Space::parse(text, space_file);
    auto const trials = located<InputError>(space_file, [&] { return settings_of_trials(); });
    if (parts.slurm > 0) {  // for other machines
      std::cout << slurm_script(command, parts.slurm);
      return;
    }
    if (!parts.is_part()) Team::expect_all();
    resume = resume || parts.is_part();  // what is there already is another part's, or this one's
    base.machine.apply();
    splits_ = Splits::read({.train = train, .valid = valid, .test = {}, .groups = {}},
                           base.training.max_length, base.machine);
    splits_.valid.value().expect_both_classes();
    auto const folder = std::filesystem::path{out};
    auto const goes_on = [&] { return resume && is_sweep(folder); };
    auto const refuse_other = [&] {
      auto const begins = resume && !parts.is_part() && is_beginning(folder);
      if (!goes_on() && !begins) refuse_occupied_run(out, is_sweep);
    };
    if (Team::is_first() && !parts.is_part()) refuse_other();
    base.fingerprint = model_fingerprint(base.model);
    check_models(trials);
    results_.study = study(command);
    base.checkpoints.resume = resume;
    auto runs = SweepRuns{base, results_.space, trials, results_.study, folder};
    auto const was_begun = goes_on();
    if (was_begun) resume_from(folder, runs, trials);
    Team::expect_same(
        text + results_.json().dump() + (resume ? "resume" : "") + settings(command, {}),
        "the same model, data, flags and sweep to resume");
    auto const config = settings(command, {{"device", base.machine.device},
                                           {"compute", base.machine.compute},
                                           {"quant", std::string{base.training.scheme().name}}});
    auto lock = std::unique_ptr<FolderLock>{};
    if (Team::is_first()) {
      auto const file = folder / "sweep.json";
      lock = claim_folder(out, parts.is_part(), [&] {
        refuse_other();
        if (goes_on()) results_.expect_begun(file, trials);
      });
      auto const is_begun = goes_on();
      if (is_begun && parts.is_part()) expect_beginning(folder / "space.toml", trials);
      if (is_begun && !was_begun) resume_from(folder, runs, trials);
      if (!is_begun || !parts.is_part()) write_json(file, results_.json());
      write_atomically(folder / "space.toml", text);
      write_atomically(folder / "config.toml", config);
      if (parts.is_part()) lock.reset();  // from here on, each run has its own
    }
    Team::expect_shared(folder / "config.toml");
    say_notes();
    make_all(runs, command);
    if (!Team::is_first() || parts.is_part()) return;
    runs.take(results_.trials);
    write(command);
    write_atomically(
        folder / "report.html",
        sweep_report(results_, text, splits_,
                     Provenance::of(command, folder, config, base.model, base.fingerprint)));
    finish();
  }

 private:
  static bool is_sweep(std::filesystem::path const& folder) {
    auto ignored = std::error_code{};
    return std::filesystem::exists(folder / "sweep.json", ignored);
  }

  /// Takes over what was made in that folder. Throws InputError where it was another sweep, and
  /// where something is missing of what it has recorded.
  void resume_from(std::filesystem::path const& folder, SweepRuns& runs,
                   std::vector<Settings> const& trials) {
    auto const file = folder / "sweep.json";
    auto const recorded = results_.expect_begun(file, trials);
    runs.look();
    runs.take(results_.trials);
    if (results_.trials.size() < recorded) {
      throw InputError{at(file.string(), "expected the outcomes of its trial " +
                                             std::to_string(results_.trials.size() + 1) +
                                             " in that folder, found not all")};
    }
  }

  /// Of a part: jobs of an array read the file when they start, which may be days apart. Throws
  /// InputError unless their trials are the first of these.
  void expect_beginning(std::filesystem::path const& recorded,
                        std::vector<Settings> const& trials) const {
    auto ignored = std::error_code{};
    if (!std::filesystem::exists(recorded, ignored)) return;  // yet
    auto const file = recorded.string();
    auto const space = Space::parse(read_text(recorded, 1 << 20), file);
    auto const before = space.draw(base.machine.seed);
    auto const names = [](Space const& of) {
      auto list = std::vector<std::string>{};
      for (auto const& factor : of.factors) list.push_back(factor.name);
      return list;
    };
    if (names(space) == names(results_.space) && before.size() <= trials.size() &&
        std::ranges::equal(before, std::span{trials}.first(before.size()))) {
      return;
    }
    throw InputError{at(file, "expected the first trials of " + space_file + ", found others")};
  }

  /// Throws InputError where a trial's make no training.
  std::vector<Settings> settings_of_trials() const {
    auto trials = results_.space.draw(base.machine.seed);
    for (auto const& one : trials) std::ignore = results_.space.apply(one, base);
    return trials;
  }

  /// What is wrong with the model under some trial is said now rather than when its turn comes.
  void check_models(std::vector<Settings> const& trials) {
    auto tried = std::set<std::pair<std::string, std::string>>{};
    auto said = std::set<std::string>{};
    auto stored = std::string{};
    auto const swept = std::ranges::find(results_.space.factors, "quant", &Factor::name) !=
                       results_.space.factors.end();
    for (auto const& one : trials) {
      auto const options = results_.space.apply(one, base);
      auto const asked = std::string{options.training.scheme().name};
      if (!tried.emplace(options.placement.name, asked).second) continue;
      auto const run = Run{options, splits_};
      for (auto const& note : run.notes()) {
        if (said.insert(note).second && !base.machine.quiet) hold_note(note);
      }
      stored = run.quantization();
      if (swept && stored != asked) {
        throw InputError{at(space_file, "quant: cannot be swept: " + base.model + " is stored as " +
                                            stored + " already")};
      }
    }
    if (!swept) base.training.quant = stored;  // of a quantized model: as it is, whatever is asked
  }

  /// What all trials share, and decides what comes of them.
  OrderedJson study(CLI::App const& command) const {
    auto shared = training_flags(base);
    for (auto const* const free :
         {"model", "train", "valid", "threads", "quiet", "checkpoint-every", "keep-checkpoints"}) {
      shared.emplace_back(free, "");
    }
    return {{"qlora", version},
            {"model", base.fingerprint},
            {"train", splits_.train.fingerprint},
            {"valid", splits_.valid.value().fingerprint},
            {"groups", splits_.groups_file.empty() ? "" : file_fingerprint(splits_.groups_file)},
            {"metric", results_.space.metric},
            {"seeds", results_.space.seeds},
            {"flags", settings_json(command, shared)}};
  }

  /// Makes this process's part of the runs, and waits until the others have made theirs.
  void make_all(SweepRuns& runs, CLI::App const& command) {
    auto const is_alone = Team::size() == 1 && !parts.is_part();
    auto open = runs.by_cost();
    if (parts.is_part()) open = parts.own().of(open);
    auto made = std::vector<char>{};  // as the first of a team sees it
    for (auto const run : open) made.push_back(runs.is_made(run) ? 1 : 0);
    made = Team::gather(made, std::vector(static_cast<std::size_t>(Team::size()), made.size()));
    auto kept = std::size_t{0};
    for (auto i = std::size_t{0}; i < open.size(); ++i) {
      if (made[i] == 0) open[kept++] = open[i];
    }
    open.resize(kept);
    auto own = parts.is_part() ? open : parts.own().of(open);
    std::ranges::sort(own);
    auto const tokens = splits_.tokens(base.training.epochs);
    auto progress =
        report::Progress{"sweep", static_cast<double>(tokens) * static_cast<double>(own.size()),
                         "tokens", base.machine.progress()};
    auto const termination = Termination{};  // also while the others are waited for
    auto behind = std::int64_t{0};
    auto const make = [&](std::size_t run) {
      auto const note = "run " + std::to_string(run + 1) + "/" + std::to_string(runs.size());
      auto const is_made = runs.make(run, splits_, command, [&](std::int64_t of_run) {
        progress.update(static_cast<double>(behind + of_run), note);
      });
      if (!is_made) return false;
      behind += tokens;
      auto const before = results_.trials.size();
      if (is_alone) runs.take(results_.trials);
      if (results_.trials.size() > before) write(command);
      return true;
    };
    std::erase_if(own, make);  // what is left, another is at, and may have made after the rest
    std::erase_if(own, make);
    Team::wait();
    Termination::check();  // nothing that follows looks
    if (!own.empty()) {
      throw InputError{at(runs.folder(own.front()).string(),
                          "expected a folder of its own, found another run in it")};
    }
    if (!parts.is_part()) runs.share(open);
  }

  /// What is known so far.
  void write(CLI::App const& command) const {
    auto const folder = std::filesystem::path{out};
    write_json(folder / "sweep.json", results_.json());
    write_atomically(folder / "sweep.csv", results_.csv());
    auto const& best = results_.trials[results_.ranking().front()];
    if (best.diverged()) return;
    auto flags = flags_outside(command, training_group);
    std::ranges::copy_if(training_flags(results_.space.apply(best.settings, base)),
                         std::back_inserter(flags), [&](Flag const& flag) {
                           return std::ranges::find(flags, flag.first, &Flag::first) == flags.end();
                         });
    write_atomically(folder / "best.toml", settings(command, flags));
  }

  void finish() const {
    std::cout << results_.text(report::Terminal::of(stdout));
    auto const best = results_.ranking().front();
    if (results_.trials[best].diverged()) {
      throw DivergedError{out + ": expected a trial that does not diverge, found none"};
    }
    if (base.machine.quiet) return;
    std::cerr << "best: trial " << best + 1 << "; its training flags are in "
              << (std::filesystem::path{out} / "best.toml").string() << "\n";
  }

  Splits splits_;
  SweepResults results_;
};

}  // namespace

void add_sweep(CLI::App& app) {
  auto* const command = app.add_subcommand(
      "sweep", "Try settings on a grid or at random, and tell which of them matter.");
  auto const sweep = std::make_shared<Sweep>();
  add_required(*command, "--model", sweep->base.model,
               "model folder, or a name in the Hugging Face cache");
  add_required(*command, "--train", sweep->train, "labelled proteins to train on");
  add_required(*command, "--valid", sweep->valid, "labelled proteins to judge by");
  add_required(*command, "--space", sweep->space_file,
               "TOML file of what to try; its values count before the flags below");
  add_required(
      *command, "--out", sweep->out,
      "folder to fill: sweep.json, sweep.csv, report.html, best.toml, one folder a trial and "
      "seed");
  add_option(*command, "--placement", sweep->placement,
             "adapted matrices, unless swept: qkv, all, card or head")
      ->check(CLI::IsMember({"qkv", "all", "card", "head"}))
      ->group(training_group);
  command
      ->add_flag("--resume", sweep->resume,
                 "go on with the sweep in --out: same model, data and flags, its trials first")
      ->configurable(false);
  sweep->parts.add_to(*command);
  sweep->base.training.add_to(*command);
  sweep->base.checkpoints.add_to(*command);
  sweep->base.machine.add_to(*command);
  add_config(*command);
  command->footer(
      "A space has an array of values for each of placement, quant, rank, alpha or "
      "alpha_over_rank,\n"
      "dropout, lr and weight_decay that is swept, or a range {low, high, scale = \"log\"}; then\n"
      "search (grid or random), trials (of a random search), seeds and metric.\n\n"
      "Example:\n  qlora sweep --model facebook/esm2_t6_8M_UR50D --train train.txt \\\n"
      "      --valid valid.txt --space sweep.toml --out sweep");
  command->callback([sweep, command] { (*sweep)(*command); });
}

}  // namespace qlora::cli
