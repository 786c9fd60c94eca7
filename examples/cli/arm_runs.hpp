/// The runs of a study, each in a folder of its own: made, or taken over from before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>

#include "arms.hpp"
#include "compare.hpp"
#include "outlook.hpp"
#include "run.hpp"

namespace qlora::cli {

class ArmRuns {
 public:
  /// With `--resume`, runs whose record lies in the study's folder are not made again. `command`
  /// has the flags that decide them.
  ArmRuns(CompareOptions const& options, CLI::App const& command, Splits const& splits);

  /// Throws InputError for a record in the study's folder of other data or flags: nothing has been
  /// written by then.
  void check_records() const;

  /// Expects so many runs, for what is said of the time left.
  void expect(std::size_t runs) { outlook_ = Outlook{runs}; }

  /// Of the model.
  std::string const& fingerprint() const { return fingerprint_; }

  /// The run, with its model open and nothing done yet.
  Run opened(Arm const& arm, std::uint64_t seed) const { return {options_of(arm, seed), splits_}; }

  /// Leaves what `train` leaves, and `run.json`, the record. Throws InputError for a record of
  /// other data or flags, and as Run.
  RunResult operator()(Arm const& arm, std::uint64_t seed);

 private:
  RunOptions options_of(Arm const& arm, std::uint64_t seed) const;
  OrderedJson identity(Arm const& arm, std::uint64_t seed) const;

  CompareOptions const& options_;
  Splits const& splits_;
  std::string fingerprint_;  ///< of the model
  OrderedJson shared_;       ///< what decides every run
  Outlook outlook_{0};
};

}  // namespace qlora::cli
