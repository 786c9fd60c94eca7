/// The runs of a study, each in a folder of its own: made, or taken over from before, or from the
/// other processes of a team.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "arms.hpp"
#include "compare.hpp"
#include "outlook.hpp"
#include "parts.hpp"
#include "run.hpp"

namespace qlora::cli {

/// One of a study's runs.
struct PlannedRun {
  Arm arm;
  std::uint64_t seed = 0;
};

/// What becomes of a study whose run diverges: it stops, or goes on without it.
enum class OnDivergence { stop, go_on };

class ArmRuns {
 public:
  /// With `--resume`, runs whose record lies in the study's folder are not made again.
  ArmRuns(CompareOptions const& options, Splits const& splits);

  /// Sets what decides every run: the flags of `command`, and how the model stores its weights.
  void identify(CLI::App const& command, std::string const& quantization);

  /// Throws InputError for a record in the study's folder of other data or flags: nothing has been
  /// written by then.
  void check_records() const;

  /// Expects so many runs each time that some are made, for what is said of the time left.
  void expect(std::vector<std::size_t> const& runs);

  /// Of the model.
  std::string const& fingerprint() const { return fingerprint_; }
  /// What decides every run.
  OrderedJson const& identity() const { return shared_; }

  /// The run, with its model open and nothing done yet.
  Run opened(Arm const& arm, std::uint64_t seed) const { return {options_of(arm, seed), splits_}; }

  /// Makes this process's part of the runs, one after the other, and waits until the others have
  /// made theirs. Each leaves what `train` leaves, and `run.json`, the record. Throws InputError
  /// for a record of other data or flags, and as Run.
  void make(std::vector<PlannedRun> const& runs, OnDivergence on_divergence = OnDivergence::stop);

  /// Whether this process is the one that goes on with what all have made.
  bool takes_all() const { return !options_.parts.is_part() && part_.number == 0; }

  /// What came of a run that was made, by whatever process; nothing where it diverged.
  std::optional<RunResult> result(PlannedRun const& run) const;

 private:
  std::filesystem::path folder(PlannedRun const& run) const;
  void make(PlannedRun const& run);
  RunOptions options_of(Arm const& arm, std::uint64_t seed) const;
  OrderedJson identity(Arm const& arm, std::uint64_t seed) const;

  CompareOptions const& options_;
  Splits const& splits_;
  Part part_;                ///< of the runs, that this process makes
  std::string fingerprint_;  ///< of the model
  OrderedJson shared_;       ///< what decides every run
  Outlook outlook_{0};
  std::map<std::filesystem::path, RunResult> made_;  ///< by this process, by their folders
  std::set<std::filesystem::path> diverged_;         ///< of whatever process
};

}  // namespace qlora::cli
