/// One training run: what `train` does once, and `compare` for each arm and seed.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qlora/adapt/placement.hpp>
#include <qlora/dist/any.hpp>
#include <qlora/dist/collective.hpp>
#include <qlora/metrics/decision.hpp>

#include "checkpoint.hpp"
#include "history.hpp"
#include "intervals.hpp"
#include "options.hpp"
#include "outlook.hpp"
#include "run_result.hpp"
#include "session.hpp"
#include "splits.hpp"

namespace qlora::cli {

/// Whether the test split is looked at after each epoch, for comparisons at equal training loss.
enum class EpochScores { none, test };

struct RunOptions {
  std::string model;
  std::string fingerprint;  ///< of the model, taken once for all runs on it
  std::string label;        ///< before progress: "qkv, seed 1: "
  placement::Sites placement;
  std::string init_adapter;  ///< empty: fresh adapters
  std::string select;        ///< metric of the best epoch; empty: the last epoch
  EpochScores epoch_scores = EpochScores::none;
  IntervalOptions intervals{.unit = "none"};
  Outlook const* outlook = nullptr;  ///< of the study that the run is one of
  TrainingOptions training;
  MachineOptions machine;
  CheckpointOptions checkpoints;
  dist::Any* ranks = nullptr;  ///< that make the run together; none: this process alone
  std::function<void(std::int64_t)> on_tokens;  ///< if wanted: told the tokens behind, each step
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
  /// What decides the run, where opening it has told more of that.
  void identify(OrderedJson identity) { options_.checkpoints.identity = std::move(identity); }

  /// Whether the run can go on in the folder: throws InputError where the newest checkpoint is of
  /// another run, and where there are results without one; writes nothing.
  void check_folder(std::filesystem::path const& folder) const;

  /// Trains, evaluates every split, and leaves `history.csv`, `qlora.json`, the adapter and
  /// `metrics.json` in the folder, in that order; `qlora.json` gets the threshold and calibration
  /// that the validation split decides last. Throws DivergedError, and saves no adapter, when
  /// the last step's loss or gradient was not finite, unless an earlier epoch is kept. Goes on from
  /// the newest checkpoint in the folder where it is to resume. At SIGTERM it leaves a checkpoint
  /// and throws Terminated. Of several ranks, the first writes, and it alone has what
  /// was measured.
  RunResult operator()(std::filesystem::path const& folder);

 private:
  RunResult run(std::filesystem::path const& folder);
  /// Says which checkpoint it is, and which are not whole; or that there is none.
  std::optional<CheckpointFolder::Found> resumed(CheckpointFolder const& checkpoints);
  void expect_same_on_all_ranks(std::int64_t step);
  void train(RunResult& result, std::filesystem::path const& folder);
  void evaluate_split(std::string const& name, DataSet const& data, RunResult& result);
  void evaluate_splits(RunResult& result);
  /// Of the test split, beside the loss on the training split's sample.
  void record_epoch(metrics::EpochHistory& epochs, metrics::Scores const& scores,
                    metrics::GroupScores const& groups);
  void decide(RunResult& result, std::string const& split, metrics::Ranking const& ranking);

  /// Whether this is the rank that writes.
  bool writes() const { return ranks_.rank() == 0; }

  RunOptions options_;
  Splits const& splits_;
  dist::Collective<dist::Any> ranks_;
  std::vector<Protein> shuffled_;  ///< records of a run whose labels are shuffled
  std::span<Protein const> records_;
  FitOptions fit_;
  std::chrono::steady_clock::time_point start_;
  std::unique_ptr<Session> session_;
  std::optional<metrics::Decision> decision_;
  std::optional<History> history_;
  std::optional<Checkpoint> latest_;  ///< of the end of an epoch, or since
};

}  // namespace qlora::cli
