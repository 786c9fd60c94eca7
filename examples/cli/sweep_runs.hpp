/// The runs of a sweep, each in a folder of its own: made, or taken over from before, or from other
/// processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
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

  std::size_t size() const { return outcomes_.size(); }
  std::filesystem::path folder(std::size_t run) const { return out_ / folder_of(run); }

  /// Looks for what was made before, by whatever process. Throws InputError for outcomes and
  /// checkpoints of another study or of other settings.
  void look();
  bool is_made(std::size_t run) const { return outcomes_[run].has_value(); }

  /// All runs, those that cost alike one after the other.
  std::vector<std::size_t> by_cost() const;

  /// Makes a run, which leaves what `train` leaves, and at last `outcome.json`; nothing to do where
  /// another process has. False where another is at it. `command` has the flags. Throws as Run, but
  /// for a run that diverges.
  bool make(std::size_t run, Splits const& splits, CLI::App const& command,
            std::function<void(std::int64_t)> on_tokens);

  /// Tells all of a team what came of runs that are dealt to its processes, one after the other.
  void share(std::vector<std::size_t> const& dealt);

  /// Adds to `done` the trials after those that it has, as far as all of their runs are made.
  void take(std::vector<SweepTrial>& done) const;

 private:
  struct Outcome {
    double value = std::numeric_limits<double>::quiet_NaN();  ///< NaN: diverged
    double seconds = 0.;
  };

  std::size_t seeds() const { return static_cast<std::size_t>(space_.seeds); }
  RunOptions options_of(std::size_t run) const;
  std::string folder_of(std::size_t run) const;
  OrderedJson identity_of(std::size_t run) const;
  std::optional<Outcome> recorded(std::size_t run) const;
  Outcome trained(std::size_t run, Splits const& splits,
                  std::function<void(std::int64_t)> on_tokens) const;

  RunOptions base_;
  Space space_;
  std::vector<Settings> trials_;
  OrderedJson study_;
  std::filesystem::path out_;
  std::vector<std::optional<Outcome>> outcomes_;  ///< as far as this process knows
};

}  // namespace qlora::cli
