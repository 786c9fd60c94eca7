#include "arm_runs.hpp"

#include <filesystem>
#include <iostream>
#include <system_error>
#include <utility>

#include <qlora/core/error.hpp>

#include "run_record.hpp"
#include "termination.hpp"

namespace qlora::cli {

ArmRuns::ArmRuns(CompareOptions const& options, CLI::App const& command, Splits const& splits)
    : options_{options}, splits_{splits}, fingerprint_{model_fingerprint(options.run.model)} {
  auto run = options.run;
  run.fingerprint = fingerprint_;
  shared_ = run_identity(command, {"ci", "resamples", "no-equal-loss"}, run, splits);
}

void ArmRuns::check_records() const {
  namespace fs = std::filesystem;
  auto ignored = std::error_code{};
  for (auto const& file : fs::recursive_directory_iterator{options_.out, ignored}) {
    if (file.path().filename() == "checkpoints") {
      CheckpointFolder{file.path().parent_path()}.check(shared_, {"arm", "seed"});
    }
    if (file.path().filename() != "run.json") continue;
    auto recorded = read_identified(file.path())["run"];
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

RunResult ArmRuns::operator()(Arm const& arm, std::uint64_t seed) {
  Termination::check();  // one that came when the run before had just ended
  auto const folder =
      std::filesystem::path{options_.out} / arm.folder() / ("seed-" + std::to_string(seed));
  auto result = RunResult{};
  auto const record = folder / "run.json";
  if (options_.resume && std::filesystem::exists(record)) {
    result = read_record(record, identity(arm, seed));
  } else {
    auto run = options_of(arm, seed);
    run.label = outlook_.place() + arm.name + ", seed " + std::to_string(seed) + ": ";
    run.outlook = &outlook_;
    run.checkpoints.resume = options_.resume;
    run.checkpoints.identity = identity(arm, seed);
    std::filesystem::create_directories(folder);
    result = Run{std::move(run), splits_}(folder);
    write_record(record, identity(arm, seed), result);
  }
  outlook_.finish_run(result.total_seconds);
  if (!options_.run.machine.quiet) std::cerr << outlook_.text() << "\n";
  return result;
}

}  // namespace qlora::cli
