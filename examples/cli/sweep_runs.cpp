#include "sweep_runs.hpp"

#include <chrono>
#include <limits>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/output_folder.hpp>

#include "numbers.hpp"
#include "run_record.hpp"
#include "termination.hpp"

namespace qlora::cli {

std::vector<Flag> training_flags(RunOptions const& run) {
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

SweepRuns::SweepRuns(RunOptions base, Space space, std::vector<Settings> trials, OrderedJson study,
                     std::filesystem::path out)
    : base_{std::move(base)},
      space_{std::move(space)},
      trials_{std::move(trials)},
      study_(std::move(study)),  // braces would make a list of it
      out_{std::move(out)} {}

RunOptions SweepRuns::options_of(std::size_t run) const {
  auto options = space_.apply(trials_[run / seeds()], base_);
  options.machine.seed = base_.machine.seed + run % seeds();
  return options;
}

std::string SweepRuns::folder_of(std::size_t run) const {
  return "trial-" + std::to_string(run / seeds() + 1) + "/seed-" +
         std::to_string(base_.machine.seed + run % seeds());
}

OrderedJson SweepRuns::identity_of(std::size_t run) const {
  auto identity = study_;
  for (auto const& [flag, value] : training_flags(options_of(run))) {
    if (!value.empty()) identity["run"][flag] = value;
  }
  return identity;
}

std::optional<SweepRun> SweepRuns::outcome(std::size_t run) const {
  auto const path = out_ / folder_of(run) / "outcome.json";
  auto const file = path.string();
  if (!std::filesystem::exists(path)) return std::nullopt;
  auto const recorded = Json(read_identified(path));
  check_identity(recorded["run"], identity_of(run), file);
  return SweepRun{.seed = base_.machine.seed + run % seeds(),
                  .folder = folder_of(run),
                  .value = json::find<double>(recorded, "value", file)
                               .value_or(std::numeric_limits<double>::quiet_NaN()),
                  .seconds = json::require<double>(recorded, "seconds", file)};
}

void SweepRuns::make(std::size_t run, Splits const& splits, CLI::App const& command,
                     std::function<void(std::int64_t)> on_tokens) const {
  Termination::check();  // one that came when the run before had just ended
  auto const folder = out_ / folder_of(run);
  auto options = options_of(run);
  options.on_tokens = std::move(on_tokens);
  options.checkpoints.identity = identity_of(run);
  options.machine.quiet = true;  // there is one bar for all
  create_folder(folder);
  auto const lock = FolderLock{folder};
  write_atomically(folder / "config.toml", settings(command, training_flags(options)));
  auto const start = std::chrono::steady_clock::now();
  auto value = std::numeric_limits<double>::quiet_NaN();
  auto seconds = 0.;
  try {
    auto const found = Run{std::move(options), splits}(folder);
    auto const& metric = space_.metric;
    value = metric == by_group_metric ? found.find_groups("valid")->mean_average_precision()
                                      : (*found.find("valid"))[metric];
    seconds = found.total_seconds;
  } catch (DivergedError const&) {  // and the sweep goes on
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  write_json(folder / "outcome.json",
             {{"run", identity_of(run)}, {"value", value}, {"seconds", seconds}});
}

void SweepRuns::take(std::vector<SweepTrial>& done) const {
  for (auto i = done.size(); i < trials_.size(); ++i) {
    auto trial = SweepTrial{trials_[i], {}};
    for (auto run = i * seeds(); run < (i + 1) * seeds(); ++run) {
      auto found = outcome(run);
      if (!found) return;
      trial.runs.push_back(std::move(*found));
    }
    done.push_back(std::move(trial));
  }
}

}  // namespace qlora::cli
