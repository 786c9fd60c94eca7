/// A run between two steps, in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <qlora/core/json.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/core/safetensors_writer.hpp>
#include <qlora/metrics/epoch_history.hpp>
#include <qlora/train/checkpointing.hpp>
#include <qlora/train/step_record.hpp>

namespace qlora::cli {

/// A run between two steps.
struct Checkpoint {
  TrainingState<float> training;
  std::vector<StepRecord> steps;  ///< all that lie behind
  metrics::EpochHistory epochs;
  /// Of `--select`: the best epoch so far, from 1, its value and its parameters; 0 without one.
  std::int64_t best_epoch = 0;
  double best_value = 0.;
  std::vector<float> best_parameters;
  double seconds = 0.;  ///< that the run has taken
  /// How many ranks made it together, and how many after them, where it went on with others.
  std::vector<std::int64_t> ranks;
};

/// Writes a safetensors file, whole or not at all, with a checksum over all that it says and with
/// what decided the run.
void write_checkpoint(std::filesystem::path const& file, OrderedJson const& identity,
                      Checkpoint const& checkpoint);

/// A file that was read and found whole.
struct StoredCheckpoint {
  Json identity;
  Checkpoint checkpoint;
};

/// The checksum, 128 bits of XXH3, over all that a file says but itself: its texts, and each
/// tensor's name, type, shape and bytes, by name.
std::string checkpoint_digest(Metadata const& metadata, std::span<StoredTensor const> tensors);

/// Throws InputError for a file that is not as it was written.
StoredCheckpoint read_checkpoint(std::filesystem::path const& file);

}  // namespace qlora::cli
