/// One training run: what `train` does once, and `compare` for each arm and seed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <qlora/adapt/placement.hpp>
#include <qlora/metrics/scores.hpp>

#include "files.hpp"
#include "options.hpp"
#include "session.hpp"

namespace qlora::cli {

/// The data of a run, or of all runs of a comparison.
struct Splits {
  DataSet train;
  std::optional<DataSet> valid, test;
  std::vector<Protein> records;  ///< of `train`, long proteins cut into chunks

  /// Splits of these files, of which the last two may be empty; says on stderr what was cut.
  static Splits read(std::string const& train, std::string const& valid, std::string const& test,
                     std::int64_t max_length, MachineOptions const& machine);

  /// That training sees in so many epochs, with `<cls>` and `<eos>`.
  std::int64_t tokens(std::int64_t epochs) const;

  /// Calls `use(name, data)` for each split there is.
  template <class Use>
  void for_each(Use&& use) const {
    use("train", train);
    if (valid) use("valid", *valid);
    if (test) use("test", *test);
  }
};

struct RunOptions {
  std::string model;
  std::string fingerprint;  ///< of the model, taken once for all runs on it
  std::string label;        ///< before progress: "qkv, seed 1: "
  placement::Sites placement;
  std::string init_adapter;  ///< empty: fresh adapters
  std::string select;        ///< metric of the best epoch; empty: the last epoch
  TrainingOptions training;
  MachineOptions machine;
  std::function<void(std::int64_t)> on_tokens;  ///< if wanted: told the tokens behind, each step
};

struct RunResult {
  std::vector<std::pair<std::string, metrics::Scores>> scores;  ///< by split
  std::int64_t trainable_parameters = 0;
  std::int64_t steps = 0;
  std::int64_t skipped_steps = 0;
  std::int64_t tokens = 0;       ///< seen in training
  double training_seconds = 0.;  ///< of the steps alone
  double total_seconds = 0.;     ///< with loading and evaluation
  std::size_t peak_bytes = 0;    ///< resident memory at its largest, or the device's
  std::int64_t best_epoch = 0;   ///< whose adapter was kept, from 1

  metrics::Scores const* find(std::string const& split) const;
  double tokens_per_second() const { return static_cast<double>(tokens) / training_seconds; }
};

class Run {
 public:
  /// Opens the model and checks everything that can be checked before the first step; writes
  /// nothing. Throws InputError.
  Run(RunOptions options, Splits const& splits);

  /// What the user should know before it starts: a fresh head, targets that match nothing.
  std::vector<std::string> notes() const;
  /// How the frozen weights are stored, which a model that is quantized already decides.
  std::string quantization() const { return session_->quantization(); }

  /// Trains, evaluates every split, and leaves `history.csv`, `qlora.json`, the adapter and
  /// `metrics.json` in the folder, in that order. Throws DivergedError, and saves no adapter, when
  /// the last step's loss or gradient was not finite, unless an earlier epoch is kept.
  RunResult operator()(std::filesystem::path const& folder);

 private:
  void train(RunResult& result, std::filesystem::path const& folder);

  RunOptions options_;
  Splits const& splits_;
  FitOptions fit_;
  std::chrono::steady_clock::time_point start_;
  std::unique_ptr<Session> session_;
};

}  // namespace qlora::cli
