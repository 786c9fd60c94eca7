#include "run.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include <qlora/adapt/peft_config.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/core/peak_memory.hpp>
#include <qlora/data/shuffle_labels.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/report/progress.hpp>

#include "best_epoch.hpp"
#include "description.hpp"
#include "evaluation.hpp"
#include "files.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

dist::Any& alone() {
  static auto self = dist::Any{};
  return self;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Throws InputError unless labels are such that the metric is a number: some need both classes.
void check_selection(std::string const& metric, DataSet const& data) {
  auto set = metrics::Chosen{metrics::Options{.names = metric}};
  for (auto i = std::uint32_t{0}; auto const& protein : data.proteins) {
    set.add(i++, std::vector<float>(2 * protein.labels.size()), protein.labels);
  }
  if (!std::isnan(set.scores()[metric])) return;
  throw InputError{at(data.file, "expected residues of both classes for --select " + metric +
                                     ", found those of one")};
}

/// What the card's list of targets finds in the model, and what it does not.
std::string card_targets() {
  auto const targets =
      std::vector<std::string>{CardLiteral::targets.begin(), CardLiteral::targets.end()};
  auto const idle = peft::unmatched(targets, 1);  // every layer has the same modules
  auto const list = [&](bool wanted) {
    auto text = std::string{};
    for (auto const& target : targets) {
      if ((std::ranges::count(idle, target) != 0) == wanted) {
        text += (text.empty() ? "" : ", ") + target;
      }
    }
    return text;
  };
  return "card: targets that match modules: " + list(false) + "; that match nothing: " + list(true);
}

SessionOptions session_options(RunOptions const& options) {
  return {.model = options.model,
          .device = options.machine.device,
          .compute = options.machine.compute,
          .quant = options.training.scheme(),
          .placement = options.placement,
          .lora = options.training.lora(options.machine.seed),
          .random_base = options.training.base == "random",
          .ranks = options.ranks};
}

}  // namespace

Run::Run(RunOptions options, Splits const& splits)
    : options_{std::move(options)},
      splits_{splits},
      ranks_{options_.ranks != nullptr ? *options_.ranks : alone()},
      shuffled_{options_.training.labels == "shuffled"
                    ? shuffled_labels(splits.records, options_.machine.seed)
                    : std::vector<Protein>{}},
      records_{shuffled_.empty() ? splits.records : shuffled_},
      fit_{options_.training.fit()},
      start_{std::chrono::steady_clock::now()} {
  reset_peak_memory();
  check(fit_);
  located<InputError>(splits.train.file, [&] {
    std::ignore = class_weights(fit_.class_weighting, splits.records, fit_.class_weights);
  });
  if (!options_.select.empty()) check_selection(options_.select, splits.valid.value());
  auto const session = session_options(options_);
  session_ = options_.init_adapter.empty() ? open_session(session)
                                           : open_session(session, options_.init_adapter);
  note_stored_quantization(*session_, options_.model, options_.training.quant);
}

std::vector<std::string> Run::notes() const {
  auto notes = session_->notes;
  if (options_.placement.name == CardLiteral::name) notes.push_back(card_targets());
  return notes;
}

void Run::check_folder(std::filesystem::path const& folder) const {
  auto passed_over = std::vector<std::string>{};
  if (CheckpointFolder{folder}.newest(options_.checkpoints.identity, passed_over)) return;
  auto const has = [&](char const* name) {
    auto ignored = std::error_code{};
    return std::filesystem::exists(folder / name, ignored);
  };
  for (auto const* const result : {"metrics.json", "comparison.json", "sweep.json", "run.json"}) {
    if (!has(result)) continue;
    throw InputError{
        at(folder.string(), std::string{"expected a run that was interrupted, found "} + result +
                                " and no checkpoint to resume from")};
  }
  // A run that was killed in its first write, or before its first checkpoint.
  auto const flags = configured(folder);
  auto const is_run =
      flags.contains("train") && !flags.contains("arms") && !flags.contains("space");
  if (!is_run && !is_beginning(folder)) refuse_occupied(folder);
}

std::optional<CheckpointFolder::Found> Run::resumed(CheckpointFolder const& checkpoints) {
  if (!options_.checkpoints.resume) return std::nullopt;
  auto passed_over = std::vector<std::string>{};
  auto found = checkpoints.newest(options_.checkpoints.identity, passed_over);
  expect_same_on_all_ranks(found ? found->checkpoint.training.steps : 0);
  // Whatever --quiet says of progress, as it is about the bits of the result.
  if (found && writes() && found->checkpoint.ranks != std::vector{std::int64_t{ranks_.size()}}) {
    std::cerr << options_.label << "the checkpoint is of ";
    for (auto const* between = ""; auto const count : found->checkpoint.ranks) {
      std::cerr << std::exchange(between, ", then ") << count;
    }
    std::cerr << " processes, and there are " << ranks_.size()
              << ": sums may differ in their last bits from those of an uninterrupted run\n";
  }
  if (writes()) {
    for (auto const& sentence : passed_over) std::cerr << options_.label << sentence << "\n";
  }
  if (options_.machine.quiet) return found;
  std::cerr << options_.label
            << (found ? "resumes after step " + std::to_string(found->checkpoint.training.steps)
                      : std::string{"no checkpoint: starts from the beginning"})
            << "\n";
  return found;
}

void Run::expect_same_on_all_ranks(std::int64_t step) {
  for (auto const of_other : ranks_.each(step)) {
    if (of_other == step) continue;
    throw InputError{
        "--out: expected a folder that all processes see alike, found checkpoints of "
        "steps " +
        std::to_string(step) + " and " + std::to_string(of_other)};
  }
}

void Run::train(RunResult& result, std::filesystem::path const& folder) {
  if (writes()) remove_unfinished(folder);
  auto const checkpoints = CheckpointFolder{folder};
  auto found = resumed(checkpoints);
  auto& history = history_.emplace(folder);
  auto best = BestEpoch{options_.select, *session_};
  auto const tokens = static_cast<double>(splits_.tokens(fit_.epochs));
  auto progress =
      report::Progress{options_.label + "training", tokens, "tokens", options_.machine.progress()};
  auto finite = true;  // the last step's numbers
  auto behind = std::vector<StepRecord>{};
  auto steps = std::vector<double>{}, losses = std::vector<double>{};
  auto const account = [&](StepRecord const& step) {
    behind.push_back(step);
    finite = std::isfinite(step.loss) && std::isfinite(step.gradient_norm);
    history.add(step);
    if (!step.skipped) {
      steps.push_back(static_cast<double>(step.step));
      losses.push_back(step.loss);
    }
    result.steps = step.step;
    result.skipped_steps += step.skipped ? 1 : 0;
    result.tokens += step.tokens;
    result.training_seconds += static_cast<double>(step.tokens) / step.tokens_per_second;
  };
  auto const on_step = [&](StepRecord const& step) {
    account(step);
    char note[64];
    std::snprintf(note, sizeof note, "epoch %lld, loss %.4f", static_cast<long long>(step.epoch),
                  step.loss);
    auto text = std::string{note};
    if (options_.outlook != nullptr) {
      auto const ahead = tokens - static_cast<double>(result.tokens);
      text += " (all runs: " +
              report::duration(
                  options_.outlook->seconds_left(ahead, tokens, result.tokens_per_second())) +
              " left)";
    }
    progress.update(static_cast<double>(result.tokens), text);
    if (options_.on_tokens) options_.on_tokens(result.tokens);
  };
  auto const on_epoch = [&](std::int64_t epoch) {
    if (writes()) history.write();
    // What is kept is evaluated anyway, once training has ended.
    if (options_.epoch_scores == EpochScores::test && epoch < fit_.epochs) {
      auto grouped = splits_.grouped_scores("test");
      auto const scores = evaluate(*session_, splits_.test.value(), options_.label,
                                   report::Progress::Style::silent, {.grouped = &*grouped});
      record_epoch(result.epochs, scores, grouped->scores());
    }
    if (options_.select.empty()) return;
    auto const scores =
        evaluate(*session_, splits_.valid.value(), options_.label, report::Progress::Style::silent);
    best.offer(ranks_.each(scores[options_.select]).front(), epoch);  // the first decides
  };
  auto checkpointing = Checkpointing<float>{};
  if (found) {
    latest_ = std::move(found->checkpoint);
    result.epochs = latest_->epochs;
    checkpointing.name = found->file.string();
    best.take_from(*latest_, checkpointing.name);
    for (auto const& step : latest_->steps) account(step);
    start_ -= std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(latest_->seconds));
    progress.start_from(static_cast<double>(result.tokens));
    checkpointing.from = latest_->training;
  }
  auto is_stopped = false;
  checkpointing.due = [&](std::int64_t step, bool ends_epoch) {
    is_stopped = ranks_.any(Termination::requested());
    return ends_epoch || options_.checkpoints.is_due(step) || is_stopped;
  };
  checkpointing.stop = [&] { return is_stopped = Termination::requested(); };
  checkpointing.save = [&](TrainingState<float> state) {
    // What was kept at the end of an epoch is from before the epoch was looked at.
    if (latest_ && latest_->training.steps == state.steps) throw Terminated{};
    if (!latest_) latest_.emplace();
    auto const known = static_cast<std::ptrdiff_t>(latest_->steps.size());
    latest_->training = std::move(state);
    latest_->steps.insert(latest_->steps.end(), behind.begin() + known, behind.end());
    latest_->epochs = result.epochs;
    latest_->seconds = seconds_since(start_);
    if (latest_->ranks.empty() || latest_->ranks.back() != ranks_.size()) {
      latest_->ranks.push_back(ranks_.size());
    }
    best.put_into(*latest_);
    if (writes() && options_.checkpoints.is_due(latest_->training.steps)) {
      checkpoints.write(*latest_, options_.checkpoints);
    }
    if (is_stopped) throw Terminated{};
  };
  session_->fit(records_, fit_, on_step, on_epoch, checkpointing);
  add_losses(result.curves, steps, losses);
  best.restore();
  result.best_epoch = best.epoch() > 0 ? best.epoch() : fit_.epochs;
  if (!finite && result.best_epoch == fit_.epochs) {
    throw DivergedError{options_.label + "step " + std::to_string(result.steps) +
                        ", the last: expected a finite loss and gradient, found none, so that no "
                        "adapter is saved; lower the learning rate"};
  }
}

void Run::decide(RunResult& result, std::string const& split, metrics::Ranking const& ranking) {
  if (split == "valid") decision_ = metrics::decide(ranking);
  if (!decision_) return;
  auto const applied = metrics::apply(*decision_, ranking);
  result.metrics[split]["at_valid_threshold"] = {{"mcc", metrics::Mcc::value(applied.at_mcc)},
                                                 {"f1", metrics::F1::value(applied.at_f1)}};
  result.metrics[split]["calibrated"] = {
      {"log_loss", applied.log_loss},
      {"brier_score", applied.brier_score},
      {"expected_calibration_error", applied.expected_calibration_error}};
}

void Run::evaluate_split(std::string const& name, DataSet const& data, RunResult& result) {
  if (!writes()) {  // what follows of the logits is the first's to find
    evaluate(*session_, data, options_.label, report::Progress::Style::silent);
    return;
  }
  auto grouped = splits_.grouped_scores(name);
  auto resampled =
      options_.intervals.collector(data.proteins, splits_.groups(name), session_->class_weights());
  auto tracks = Tracks{};
  if (name == "test") {
    for (auto const protein : shown_proteins(data.proteins)) tracks[protein];
  }
  auto const scores =
      evaluate(*session_, data, options_.label + name + " metrics", options_.machine.progress(),
               {.grouped = grouped ? &*grouped : nullptr,
                .resampled = resampled ? &*resampled : nullptr,
                .tracks = &tracks});
  result.metrics[name] = scores;
  if (resampled) {
    auto const look = [&] {
      if (ranks_.size() == 1) Termination::check();  // others would wait for this one
    };
    result.metrics[name]["intervals"] =
        options_.intervals.json(options_.intervals.of(*resampled, look),
                                !splits_.groups_file.empty() && splits_.groups(name) != nullptr);
  }
  result.scores.emplace_back(name, scores);
  if (!grouped) return;
  result.groups.emplace_back(name, grouped->scores());
  auto const ranking = grouped->pooled();
  if (splits_.valid) decide(result, name, ranking);
  if (name != "test") return;
  for (auto& [protein, track] : tracks) result.curves.tracks.push_back(std::move(track));
  add_ranking(result.curves, ranking,
              decision_ ? decision_->calibration.log_odds
                        : metrics::prior_correction(session_->class_weights()));
}

void Run::record_epoch(metrics::EpochHistory& epochs, metrics::Scores const& scores,
                       metrics::GroupScores const& groups) {
  epochs.losses.push_back(evaluate(*session_, splits_.train_sample, options_.label,
                                   report::Progress::Style::silent)["loss"]);
  epochs.held_out_losses.push_back(scores["loss"]);
  epochs.groups.push_back(groups.average_precision);
}

void Run::evaluate_splits(RunResult& result) {
  splits_.for_each(
      [&](char const* name, DataSet const& data) { evaluate_split(name, data, result); });
  if (options_.epoch_scores == EpochScores::test) {
    record_epoch(result.epochs, *result.find("test"), *result.find_groups("test"));
  }
}

RunResult Run::operator()(std::filesystem::path const& folder) {
  auto const termination = Termination{};  // leaves a checkpoint
  try {
    return run(folder);
  } catch (Terminated const&) {
    if (!writes()) throw;
    auto const file = CheckpointFolder{folder}.write(latest_.value(), options_.checkpoints);
    history_->write();
    throw Terminated{file.string() + ": stopped by SIGTERM, after step " +
                     std::to_string(latest_->training.steps) + "; --resume goes on from there"};
  }
}

RunResult Run::run(std::filesystem::path const& folder) {
  auto result = RunResult{};
  result.trainable_parameters = session_->trainable_parameters();
  train(result, folder);
  if (result.skipped_steps > 0 && !options_.machine.quiet) {
    std::cerr << options_.label << result.skipped_steps
              << " steps were skipped: no labelled residue, or a loss or gradient not finite\n";
  }
  // First, so that no adapter is ever without it.
  auto described = description(options_, splits_, *session_, result.best_epoch);
  described["skipped_steps"] = result.skipped_steps;
  if (auto const& ranks = latest_.value().ranks; ranks != std::vector<std::int64_t>{1}) {
    described["ranks"] = ranks;
  }
  if (writes()) {
    write_json(folder / "qlora.json", described);
    session_->save_adapter(folder);
  }
  evaluate_splits(result);
  for (auto const& [split, scores] : result.scores) history_->add(split, scores, result.steps);
  if (writes()) {
    history_->write();
    if (decision_) {
      add_decision(described, *decision_);
      write_json(folder / "qlora.json", described);
    }
    write_json(folder / "metrics.json", result.metrics);
  }
  ranks_.wait();  // where SIGTERM does not end one while another has results to write
  auto const of_device = session_->device_peak_bytes();
  result.peak_bytes = of_device > 0 ? of_device : peak_memory_bytes();
  result.total_seconds = seconds_since(start_);
  return result;
}

}  // namespace qlora::cli
