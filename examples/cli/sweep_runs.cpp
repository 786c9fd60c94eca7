#include "sweep_runs.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <tuple>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/output_folder.hpp>

#include "checkpoint.hpp"
#include "numbers.hpp"
#include "parts.hpp"
#include "run_record.hpp"
#include "team.hpp"
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
      out_{std::move(out)},
      outcomes_(trials_.size() * seeds()) {}

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

std::vector<std::size_t> SweepRuns::by_cost() const {
  auto all = numbers(size());
  auto kinds = std::vector<std::tuple<std::string, std::string, std::int64_t>>{};
  for (auto const run : all) {
    auto const options = options_of(run);
    kinds.emplace_back(options.placement.name, options.training.scheme().name,
                       options.training.rank);
  }
  std::ranges::sort(all, {}, [&](std::size_t const& run) { return std::tie(kinds[run], run); });
  return all;
}

std::optional<SweepRuns::Outcome> SweepRuns::recorded(std::size_t run) const {
  auto const path = out_ / folder_of(run) / "outcome.json";
  auto const file = path.string();
  auto ignored = std::error_code{};
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  auto const document = Json(read_identified(path));
  check_identity(document["run"], identity_of(run), file);
  if (!document.contains("value")) throw InputError{at(file, "expected a value, found none")};
  auto outcome = Outcome{.seconds = json::require<double>(document, "seconds", file)};
  if (auto const value = json::find<double>(document, "value", file)) outcome.value = *value;
  return outcome;
}

void SweepRuns::look() {
  for (auto run = std::size_t{0}; run < size(); ++run) {
    outcomes_[run] = recorded(run);
    if (!is_made(run)) CheckpointFolder{out_ / folder_of(run)}.check(identity_of(run), {});
  }
}

SweepRuns::Outcome SweepRuns::trained(std::size_t run, Splits const& splits,
                                      std::function<void(std::int64_t)> on_tokens) const {
  auto options = options_of(run);
  options.on_tokens = std::move(on_tokens);
  options.checkpoints.identity = identity_of(run);
  options.machine.quiet = true;  // there is one bar for all
  auto const start = std::chrono::steady_clock::now();
  try {
    auto const found = Run{std::move(options), splits}(out_ / folder_of(run));
    auto const& metric = space_.metric;
    return {.value = metric == by_group_metric
                         ? found.find_groups("valid")->mean_average_precision()
                         : (*found.find("valid"))[metric],
            .seconds = found.total_seconds};
  } catch (DivergedError const&) {  // and the sweep goes on
    return {.seconds =
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  }
}

bool SweepRuns::make(std::size_t run, Splits const& splits, CLI::App const& command,
                     std::function<void(std::int64_t)> on_tokens) {
  Termination::check();  // one that came when the run before had just ended
  auto const folder = out_ / folder_of(run);
  create_folder(folder);
  auto lock = std::optional<FolderLock>{};
  try {
    lock.emplace(folder);
  } catch (InputError const&) {
    return false;
  }
  outcomes_[run] = recorded(run);
  if (is_made(run)) return true;
  write_atomically(folder / "config.toml", settings(command, training_flags(options_of(run))));
  auto const outcome = trained(run, splits, std::move(on_tokens));
  write_identified(
      folder / "outcome.json",
      {{"run", identity_of(run)}, {"value", outcome.value}, {"seconds", outcome.seconds}});
  outcomes_[run] = outcome;
  return true;
}

void SweepRuns::share(std::vector<std::size_t> const& dealt) {
  auto const part = [&](int rank) { return Part{rank, Team::size()}.of(dealt); };
  auto own = std::vector<Outcome>{};
  for (auto const run : part(Team::rank())) own.push_back(outcomes_[run].value());
  auto counts = std::vector<std::size_t>{};
  for (auto rank = 0; rank < Team::size(); ++rank) counts.push_back(part(rank).size());
  auto const all = Team::gather(own, counts);
  auto next = all.begin();
  for (auto rank = 0; rank < Team::size(); ++rank) {
    for (auto const run : part(rank)) outcomes_[run] = *next++;
  }
}

void SweepRuns::take(std::vector<SweepTrial>& done) const {
  for (auto i = done.size(); i < trials_.size(); ++i) {
    auto trial = SweepTrial{trials_[i], {}};
    for (auto run = i * seeds(); run < (i + 1) * seeds(); ++run) {
      if (!is_made(run)) return;
      trial.runs.push_back({.seed = base_.machine.seed + run % seeds(),
                            .folder = folder_of(run),
                            .value = outcomes_[run]->value,
                            .seconds = outcomes_[run]->seconds});
    }
    done.push_back(std::move(trial));
  }
}

}  // namespace qlora::cli
