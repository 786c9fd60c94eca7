/// The runs of a sweep, each in a folder of its own: made, or taken over from before, or from other
/// processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "arguments.hpp"
#include "files.hpp"
#include "run.hpp"
#include "splits.hpp"
#include "sweep_results.hpp"
#include "sweep_space.hpp"

namespace qlora::cli {

/// The flags of `train` that repeat a run, but for model and data.
std::vector<Flag> training_flags(RunOptions const& run);

/// Trial by trial, and seed by seed of each.
class SweepRuns {
 public:
  /// Of `base` but for what is swept, in the folder `out`; `study` is what decides all of them
  /// alike.
  SweepRuns(RunOptions base, Space space, std::vector<Settings> trials, OrderedJson study,
            std::filesystem::path out);

  std::size_t size() const { return trials_.size() * seeds(); }

  /// What came of a run, by whatever process; nothing where it has not been made. Throws InputError
  /// for the outcome of another study or of other settings.
  std::optional<SweepRun> outcome(std::size_t run) const;

  /// Makes a run, which leaves what `train` leaves and then `outcome.json`, or that alone where it
  /// diverges. `command` has the flags. Throws InputError where another process is at it, and as
  /// Run.
  void make(std::size_t run, Splits const& splits, CLI::App const& command,
            std::function<void(std::int64_t)> on_tokens) const;

  /// Adds to `done` the trials after those that it has, as far as all of their runs are made.
  void take(std::vector<SweepTrial>& done) const;

 private:
  std::size_t seeds() const { return static_cast<std::size_t>(space_.seeds); }
  RunOptions options_of(std::size_t run) const;
  std::string folder_of(std::size_t run) const;
  OrderedJson identity_of(std::size_t run) const;

  RunOptions base_;
  Space space_;
  std::vector<Settings> trials_;
  OrderedJson study_;
  std::filesystem::path out_;
};

}  // namespace qlora::cli
