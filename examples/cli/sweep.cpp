// qlora sweep: which settings matter, judged on validation data.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/version.hpp>

#include "arguments.hpp"
#include "commands.hpp"
#include "notes.hpp"
#include "numbers.hpp"
#include "run.hpp"
#include "sweep_report.hpp"
#include "sweep_results.hpp"
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

  void operator()(CLI::App const& command) {
    Team::expect_all();
    base.machine.apply();
    base.placement = placement::Sites::parse(placement);
    auto const text = read_text(space_file, 1 << 20);
    results_.space = Space::parse(text, space_file);
    auto const trials = located<InputError>(space_file, [&] { return settings_of_trials(); });
    splits_ = Splits::read({.train = train, .valid = valid, .test = {}, .groups = {}},
                           base.training.max_length, base.machine);
    splits_.valid.value().expect_both_classes();
    auto const folder = std::filesystem::path{out};
    auto const is_sweep = [](std::filesystem::path const& one) {
      return std::filesystem::exists(one / "sweep.json");
    };
    auto const goes_on = resume && is_sweep(folder);
    if (Team::is_first() && !goes_on) refuse_occupied_run(out, is_sweep);
    base.fingerprint = model_fingerprint(base.model);
    check_models(trials);
    results_.study = study(command);
    if (goes_on) results_.resume(folder / "sweep.json", trials);
    Team::expect_same(results_.json().dump() + (resume ? "resume" : "") + settings(command, {}),
                      "the same model, data, flags and sweep to resume");
    auto const config = settings(command, {{"device", base.machine.device},
                                           {"compute", base.machine.compute},
                                           {"quant", std::string{base.training.scheme().name}}});
    auto lock = std::optional<FolderLock>{};
    if (Team::is_first()) {
      create_folder(out);
      lock.emplace(folder);
      if (!goes_on) refuse_occupied(out);
      write_json(folder / "sweep.json", results_.json());
      write_atomically(folder / "space.toml", text);
      write_atomically(folder / "config.toml", config);
    }
    Team::expect_shared(folder / "config.toml");
    say_notes();
    run_all(trials, command);
    if (!Team::is_first()) return;
    write_atomically(
        folder / "report.html",
        sweep_report(results_, text, splits_,
                     Provenance::of(command, folder, config, base.model, base.fingerprint)));
    finish();
  }

 private:
  RunOptions run_options(Settings const& trial_settings) const {
    auto run = base;
    results_.space.apply(trial_settings, run);
    return run;
  }

  /// Throws InputError where a trial's make no training.
  std::vector<Settings> settings_of_trials() const {
    auto trials = results_.space.draw(base.machine.seed);
    for (auto const& one : trials) std::ignore = run_options(one);
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
      auto const options = run_options(one);
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
    auto shared = settled(base);
    for (auto const* const free :
         {"model", "train", "valid", "threads", "quiet", "checkpoint-every", "keep-checkpoints"}) {
      shared.emplace_back(free, "");
    }
    return {{"qlora", version},
            {"model", base.fingerprint},
            {"train", splits_.train.fingerprint},
            {"valid", splits_.valid.value().fingerprint},
            {"metric", results_.space.metric},
            {"seeds", results_.space.seeds},
            {"flags", settings_json(command, shared)}};
  }

  void run_all(std::vector<Settings> const& trials, CLI::App const& command) {
    auto const seeds = results_.space.seeds;
    auto const tokens = splits_.tokens(base.training.epochs);
    auto const runs = seeds * static_cast<std::int64_t>(trials.size());
    auto const before = seeds * static_cast<std::int64_t>(results_.trials.size());
    auto progress = report::Progress{"sweep", static_cast<double>(tokens * (runs - before)),
                                     "tokens", base.machine.progress()};
    auto const termination = Termination{};    // also while the others are waited for
    auto trial = std::optional<SweepTrial>{};  // whose runs are not all done
    // Of a team, each process makes one of the next runs.
    for (auto first = before; first < runs; first += Team::size()) {
      auto const made = std::min<std::int64_t>(runs - first, Team::size());
      auto const own = first + Team::rank();
      auto outcome = Outcome{};
      if (own < runs) {
        auto options = run_options(trials[static_cast<std::size_t>(own / seeds)]);
        options.machine.seed = seed_of(own);
        auto const note = "run " + std::to_string(own + 1) + "/" + std::to_string(runs);
        options.on_tokens = [&](std::int64_t of_run) {
          progress.update(static_cast<double>(tokens * (first - before) + made * of_run), note);
        };
        outcome = run_one(std::move(options), folder_of(own), command);
      }
      Team::wait();
      auto const outcomes = Team::gather(outcome);
      for (auto i = first; i < first + made; ++i) {
        if (!trial) trial.emplace(trials[static_cast<std::size_t>(i / seeds)]);
        auto const& [value, seconds] = outcomes[static_cast<std::size_t>(i - first)];
        trial->runs.push_back(
            {.seed = seed_of(i), .folder = folder_of(i), .value = value, .seconds = seconds});
        if (std::ssize(trial->runs) < seeds) continue;
        results_.trials.push_back(std::move(*trial));
        trial.reset();
        if (Team::is_first()) write(command);
      }
    }
  }

  /// Of the run of that number, from 0.
  std::uint64_t seed_of(std::int64_t run) const {
    return base.machine.seed + static_cast<std::uint64_t>(run % results_.space.seeds);
  }
  std::string folder_of(std::int64_t run) const {
    return "trial-" + std::to_string(run / results_.space.seeds + 1) + "/seed-" +
           std::to_string(seed_of(run));
  }

  /// What a run tells.
  struct Outcome {
    double value = 0., seconds = 0.;
  };

  Outcome run_one(RunOptions options, std::string const& name, CLI::App const& command) const {
    auto const folder = std::filesystem::path{out} / name;
    create_folder(folder);
    write_atomically(folder / "config.toml", settings(command, settled(options)));
    auto result = Outcome{};
    options.checkpoints.resume = resume;
    options.checkpoints.identity = results_.study;
    for (auto const& [flag, value] : settled(options)) {
      if (!value.empty()) options.checkpoints.identity["run"][flag] = value;
    }
    options.machine.quiet = true;  // there is one bar for all
    auto const start = std::chrono::steady_clock::now();
    Termination::check();  // one that came when the run before had just ended
    try {
      auto const found = Run{std::move(options), splits_}(folder);
      auto const& metric = results_.space.metric;
      result.value = metric == by_group_metric
                         ? found.find_groups("valid")->mean_average_precision()
                         : (*found.find("valid"))[metric];
      result.seconds = found.total_seconds;
    } catch (DivergedError const&) {
      result.value = std::numeric_limits<double>::quiet_NaN();  // and the sweep goes on
      result.seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    return result;
  }

  /// The flags of `train` for a run.
  std::vector<Flag> settled(RunOptions const& run) const {
    auto const& training = run.training;
    return {{"space", ""},
            {"device", run.machine.device},
            {"compute", run.machine.compute},
            {"seed", std::to_string(run.machine.seed)},
            {"placement", run.placement.name},
            {"quant", std::string{training.scheme().name}},
            {"rank", std::to_string(training.rank)},
            {"alpha", exact(training.alpha)},
            {"dropout", exact(training.dropout)},
            {"lr", exact(training.learning_rate)},
            {"weight-decay", exact(training.weight_decay)}};
  }

  /// What is known so far.
  void write(CLI::App const& command) const {
    auto const folder = std::filesystem::path{out};
    write_json(folder / "sweep.json", results_.json());
    write_atomically(folder / "sweep.csv", results_.csv());
    auto const& best = results_.trials[results_.ranking().front()];
    if (best.diverged()) return;
    auto flags = flags_outside(command, training_group);
    std::ranges::copy_if(settled(run_options(best.settings)), std::back_inserter(flags),
                         [&](Flag const& flag) {
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
