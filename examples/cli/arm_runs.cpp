#include "arm_runs.hpp"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <tuple>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/output_folder.hpp>

#include "run_record.hpp"
#include "team.hpp"
#include "termination.hpp"

namespace qlora::cli {

ArmRuns::ArmRuns(CompareOptions const& options, Splits const& splits)
    : options_{options},
      splits_{splits},
      part_{options.parts.own()},
      fingerprint_{model_fingerprint(options.run.model)} {}

void ArmRuns::identify(CLI::App const& command, std::string const& quantization) {
  auto run = options_.run;
  run.fingerprint = fingerprint_;
  shared_ = run_identity(command, {"ci", "resamples", "no-equal-loss"}, run, splits_, quantization);
}

void ArmRuns::check_records() const {
  namespace fs = std::filesystem;
  auto ignored = std::error_code{};
  for (auto const& file : fs::recursive_directory_iterator{options_.out, ignored}) {
    if (file.path().filename() == "checkpoints") {
      CheckpointFolder{file.path().parent_path()}.check(shared_, {"arm", "seed"});
    }
    if (file.path().filename() != "run.json") continue;
    auto recorded = Json(read_identified(file.path())["run"]);
    recorded.erase("arm");
    recorded.erase("seed");
    check_identity(recorded, shared_, file.path().string());
  }
}

RunOptions ArmRuns::options_of(Arm const& arm, std::uint64_t seed) const {
  auto run = options_.run;
  run.fingerprint = fingerprint_;
  run.placement = placement::Sites::parse(arm.placement);
  run.training = arm.apply(options_.run.training);
  run.machine.seed = seed;
  run.epoch_scores = options_.no_equal_loss ? EpochScores::none : EpochScores::test;
  return run;
}

OrderedJson ArmRuns::identity(Arm const& arm, std::uint64_t seed) const {
  auto identity = shared_;
  identity["arm"] = arm.name;
  identity["seed"] = seed;
  return identity;
}

void ArmRuns::expect(std::vector<std::size_t> const& runs) {
  auto own = std::size_t{0};
  for (auto const count : runs) own += part_.of(numbers(count)).size();
  outlook_ = Outlook{own};
}

std::filesystem::path ArmRuns::folder(PlannedRun const& run) const {
  return std::filesystem::path{options_.out} / run.arm.folder() /
         ("seed-" + std::to_string(run.seed));
}

void ArmRuns::make(std::vector<PlannedRun> const& runs, OnDivergence on_divergence) {
  // Dealt arm by arm, so that each process has runs of every arm: they do not cost the same.
  auto by_arm = numbers(runs.size());
  std::ranges::sort(by_arm, {},
                    [&](std::size_t const& i) { return std::tie(runs[i].arm.name, i); });
  auto own = part_.of(by_arm);
  std::ranges::sort(own);
  auto diverged = std::vector<char>(runs.size(), 0);
  auto const termination = Termination{};  // also while the others are waited for
  for (auto const i : own) {
    try {
      make(runs[i]);
    } catch (DivergedError const&) {
      if (on_divergence == OnDivergence::stop) throw;
      diverged[i] = 1;
    }
  }
  Team::wait();
  Termination::check();  // nothing that follows looks
  auto const size = static_cast<std::size_t>(Team::size());
  auto const of_all = Team::gather(diverged, std::vector(size, diverged.size()));
  for (auto i = std::size_t{0}; i < of_all.size(); ++i) {
    if (of_all[i] != 0) diverged_.insert(folder(runs[i % runs.size()]));
  }
}

void ArmRuns::make(PlannedRun const& planned) {
  Termination::check();  // one that came when the run before had just ended
  auto const& [arm, seed] = planned;
  auto const folder = this->folder(planned);
  auto result = RunResult{};
  auto const record = folder / "run.json";
  auto const was_begun = std::filesystem::exists(folder);
  create_folder(folder);
  auto const lock = FolderLock{folder};
  if (options_.resume && std::filesystem::exists(record)) {  // by whomever, until now
    result = read_record(record, identity(arm, seed));
  } else {
    auto run = options_of(arm, seed);
    run.label = outlook_.place() + arm.name + ", seed " + std::to_string(seed) + ": ";
    run.outlook = &outlook_;
    run.checkpoints.resume = options_.resume && was_begun;
    run.checkpoints.identity = identity(arm, seed);
    result = Run{std::move(run), splits_}(folder);
    write_record(record, identity(arm, seed), result);
  }
  outlook_.finish_run(result.total_seconds);
  if (!options_.run.machine.quiet) std::cerr << outlook_.text() << "\n";
  made_.emplace(folder, std::move(result));
}

std::optional<RunResult> ArmRuns::result(PlannedRun const& run) const {
  auto const folder = this->folder(run);
  if (auto const found = made_.find(folder); found != made_.end()) return found->second;
  if (diverged_.contains(folder)) return std::nullopt;
  auto const record = folder / "run.json";
  if (!Team::finds(record)) return std::nullopt;
  return read_record(record, identity(run.arm, run.seed));
}

}  // namespace qlora::cli
