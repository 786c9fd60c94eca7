/// What a run leaves from time to time, so that nothing but the time since is lost.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <qlora/core/json.hpp>

#include "checkpoint_file.hpp"

namespace qlora::cli {

/// Whether and how often a run leaves checkpoints, and whether it goes on from one.
struct CheckpointOptions {
  std::int64_t every = 0;  ///< steps; 0: at SIGTERM alone
  std::int64_t keep = 3;   ///< of the newest
  bool resume = false;
  OrderedJson identity;  ///< what decides the run

  /// The flags but `--resume`: they change nothing of what is learned, and are in no recipe.
  void add_to(CLI::App& command);

  bool is_due(std::int64_t steps) const { return every > 0 && steps % every == 0; }
};

/// `checkpoints/step-000000000120.safetensors` and so on, in the folder of a run.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path const& run) : path_{run / "checkpoints"} {}

  /// Whether a run that left checkpoints is in that folder.
  static bool is_in(std::filesystem::path const& run) {
    auto ignored = std::error_code{};
    return std::filesystem::exists(run / "checkpoints", ignored);
  }

  struct Found {
    std::filesystem::path file;
    Checkpoint checkpoint;
  };
  /// The newest one that is whole; `passed_over` gets a sentence for each newer one that is not.
  /// Throws InputError where the run that left it was another, naming the first difference.
  std::optional<Found> newest(OrderedJson const& identity,
                              std::vector<std::string>& passed_over) const;
  /// Adds one, and removes all but the `keep` newest, and those of later steps, which are damaged
  /// or of steps that are made again.
  std::filesystem::path write(Checkpoint const& checkpoint, CheckpointOptions const& options) const;
  /// Throws InputError as newest(), without what `erase` lists of each identity.
  void check(OrderedJson const& identity, std::vector<std::string> const& erase) const;

 private:
  /// The newest first.
  std::vector<std::filesystem::path> files() const;
  /// The newest one that is whole, and its file.
  std::optional<std::pair<std::filesystem::path, StoredCheckpoint>> newest_whole(
      std::vector<std::string>& passed_over) const;

  std::filesystem::path path_;
};

}  // namespace qlora::cli
