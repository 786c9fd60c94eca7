/// The training loop: packed steps, one loss normalised over each, clipping, AdamW.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/option.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/data/batch.hpp>
#include <qlora/dist/collective.hpp>
#include <qlora/dist/communicator.hpp>
#include <qlora/dist/deal.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/train/checkpointing.hpp>
#include <qlora/train/class_weights.hpp>
#include <qlora/train/fit_options.hpp>
#include <qlora/train/plan.hpp>
#include <qlora/train/schedule.hpp>
#include <qlora/train/step_record.hpp>

namespace qlora::inline v1 {

namespace detail {

/// Of the bits, a number at a time (FNV-1a).
template <class A>
std::uint64_t checksum(Vector<A const> values) {
  using Bits = std::conditional_t<sizeof(A) == 4, std::uint32_t, std::uint64_t>;
  auto sum = std::uint64_t{0xcbf29ce484222325};
  for (auto const value : values) {
    sum = (sum ^ std::bit_cast<Bits>(value)) * std::uint64_t{0x100000001b3};
  }
  return sum;
}

}  // namespace detail

/// Trains a model's adapters and head. What depends on the size of a pass is allocated for the
/// largest of the run; once each thread has met each size, steps of one process allocate nothing.
///
/// Ranks of a communicator, each with a model of the same parameters, take the same steps together:
/// the records of each are dealt to them by cost, and their gradients and losses added up. Records,
/// masks and the loss's scale are those of one rank, whose numbers theirs are but for the order of
/// additions. That their parameters stay the same is checked from time to time.
template <class B, class Model, dist::Communicator C = dist::Self>
class Trainer {
 public:
  using A = typename B::Accumulator;
  /// Steps in a row that may be skipped for NaN or infinity.
  static constexpr int patience = 10;

  Trainer(B& backend, Model& model, std::span<Protein const> proteins,
          FitOptions const& options) requires(std::same_as<C, dist::Self>)
      : Trainer{backend, model, proteins, options, alone()} {}
  /// The communicator must outlive the trainer.
  Trainer(B& backend, Model& model, std::span<Protein const> proteins, FitOptions const& options,
          C& communicator)
      : backend_{backend},
        model_{model},
        proteins_{checked(proteins)},
        options_{options},
        weights_{qlora::class_weights(options.class_weighting, proteins, options.class_weights)},
        ranks_{communicator} {
    check(options);
    for (auto epoch = std::int64_t{0}; epoch < options.epochs; ++epoch) {
      plans_.emplace_back(proteins_, options_.batch, options_.order, model_.lora().seed,
                          static_cast<std::uint32_t>(epoch));
      steps_ += static_cast<std::int64_t>(plans_.back().steps());
    }
    reserve();
    backend_.clear(model_.parameters().first_moments());
    backend_.clear(model_.parameters().second_moments());
    auto zero = StepNumbers{};
    transfer(Vector<StepNumbers>{&zero, {1}}, numbers_.view());
  }

  std::int64_t steps() const { return steps_; }
  std::array<double, 2> const& class_weights() const { return weights_; }

  /// Runs all epochs, or those that are left of them; `on_step(StepRecord)` follows each step,
  /// `on_epoch(epoch)` each epoch (from 1). Where a backend queues its work, the next step is
  /// queued before a step's numbers are waited for, unless a checkpoint is due. Throws
  /// DivergedError after `patience` steps in a row without a finite gradient, and where a state
  /// that is wanted is not finite; InputError for a state that does not fit; SystemError where
  /// ranks do not have the same parameters: at the start, where a checkpoint is due, or at the end.
  template <class OnStep, class OnEpoch>
  void run(OnStep&& on_step, OnEpoch&& on_epoch, Checkpointing<A> const& checkpointing = {}) {
    auto const done = checkpointing.from ? restore(*checkpointing.from, checkpointing.name) : 0;
    expect_agreement(done);
    auto const asks = checkpointing.stop && ranks_.size() == 1;  // or others would wait in vain
    auto const look = std::function<void()>{[&] {
      if (asks && checkpointing.stop()) throw Stopped{};
    }};
    auto first = std::int64_t{0};  // step of the epoch
    auto epoch = std::int64_t{0};
    for (auto const& plan : plans_) {
      auto const last = first + static_cast<std::int64_t>(plan.steps());
      for (auto step = std::max(first, done); step < last; ++step) {
        try {
          begin(plan.step(static_cast<std::size_t>(step - first)), step, epoch, look);
        } catch (Stopped const&) {  // before it changed a parameter
          while (steps_begun_ > 0) on_step(end());
          return checkpointing.save(state(step));
        }
        auto const is_due = checkpointing.due && checkpointing.due(step + 1, step + 1 == last);
        auto const ahead = B::asynchronous && !is_due ? std::size_t{1} : std::size_t{0};
        while (steps_begun_ > ahead) on_step(end());
        if (!is_due) continue;
        expect_agreement(step + 1);
        checkpointing.save(state(step + 1));
      }
      while (steps_begun_ > 0) on_step(end());
      ++epoch;
      if (last >= done) on_epoch(epoch);
      first = last;
    }
    expect_agreement(steps_);
  }

  /// One step (from 0) on the records of these numbers. A step that is larger than any of the
  /// plan's takes more memory.
  StepRecord learn(std::span<std::uint32_t const> records, std::int64_t step, std::int64_t epoch) {
    begin(records, step, epoch, [] {});
    return end();
  }

 private:
  using Clock = std::chrono::steady_clock;
  /// Within a step that is dropped.
  struct Stopped {};

  static dist::Self& alone() {
    static auto self = dist::Self{};
    return self;
  }

  static std::vector<A> copy(Vector<A, B::space> view) {
    auto const stored = on_host(view);
    auto const values = Vector<A const>{stored};
    return {values.begin(), values.end()};
  }
  static void put_back(std::vector<A> const& values, Vector<A, B::space> to) {
    transfer(Vector<A const>{values.data(), {static_cast<Index>(values.size())}}, to);
  }

  /// Ranks have the same gradients, but each takes the update itself, which a processor of another
  /// kind may round otherwise.
  void expect_agreement(std::int64_t steps) {
    if (ranks_.size() == 1) return;
    auto const values = on_host(model_.parameters().values());
    auto const all = ranks_.each(detail::checksum(Vector<A const>{values}));
    auto const other = std::ranges::find_if(all, [&](auto sum) { return sum != all.front(); });
    if (other == all.end()) return;
    throw SystemError{"step " + std::to_string(steps) +
                      ": expected the same parameters on all ranks, found others on rank " +
                      std::to_string(other - all.begin()) +
                      " than on rank 0; ranks want the same model, and processors of one kind"};
  }

  /// After so many steps, all of which have ended. A loss and a gradient that are finite may make
  /// an update that is not; throws DivergedError then.
  TrainingState<A> state(std::int64_t steps) const {
    auto const& parameters = model_.parameters();
    auto const numbers = on_host(numbers_.view());
    auto state = TrainingState<A>{
        .steps = steps,
        .failures = failures_,
        .updates = static_cast<std::int64_t>(Vector<StepNumbers const>{numbers}[0].updates),
        .parameters = copy(parameters.values()),
        .first_moments = copy(parameters.first_moments()),
        .second_moments = copy(parameters.second_moments())};
    if (state.is_finite()) return state;
    throw DivergedError{"step " + std::to_string(steps) +
                        ": expected finite parameters after the update, and moments of the "
                        "optimizer, found NaN or infinity; lower the learning rate"};
  }

  /// Returns the steps that lie behind.
  std::int64_t restore(TrainingState<A> const& state, std::string const& name) {
    auto const& parameters = model_.parameters();
    auto const size = static_cast<std::size_t>(parameters.size());
    expect_option(state.steps >= 0 && state.steps <= steps_, name + ": steps",
                  "at most " + std::to_string(steps_), state.steps);
    expect_option(state.updates >= 0 && state.updates <= state.steps, name + ": updates",
                  "at most " + std::to_string(state.steps), state.updates);
    expect_option(state.failures >= 0 && state.failures < patience, name + ": failures",
                  "less than " + std::to_string(patience), state.failures);
    for (auto const* const values :
         {&state.parameters, &state.first_moments, &state.second_moments}) {
      expect_option(values->size() == size, name + ": parameters", std::to_string(size),
                    values->size());
    }
    put_back(state.parameters, parameters.values());
    put_back(state.first_moments, parameters.first_moments());
    put_back(state.second_moments, parameters.second_moments());
    auto numbers = StepNumbers{0., 0., static_cast<double>(state.updates)};
    transfer(Vector<StepNumbers>{&numbers, {1}}, numbers_.view());
    failures_ = state.failures;
    return state.steps;
  }

  /// A step whose numbers are not known yet.
  struct Begun {
    StepRecord record;
    double total_weight = 0.;
    typename B::Reading numbers;
    Clock::time_point start;
  };

  /// Those of a step's records that this rank takes; valid until it is asked again.
  std::span<std::uint32_t const> own(std::span<std::uint32_t const> records) {
    if (ranks_.size() == 1) return records;
    costs_.clear();
    for (auto const record : records) costs_.push_back(cost(proteins_[record]));
    auto const rank_of = dist::deal(costs_, ranks_.size());
    own_.clear();
    for (auto i = std::size_t{0}; i < records.size(); ++i) {
      if (rank_of[i] == ranks_.rank()) own_.push_back(records[i]);
    }
    return own_;
  }
  /// In proportion to the operations: products with d x d weights, 12 of them a layer and token,
  /// and with keys and values of every token.
  double cost(Protein const& protein) const {
    auto const tokens = static_cast<double>(token_count(protein));
    return tokens * (6. * static_cast<double>(model_.shape().hidden) + tokens);
  }

  /// Takes the memory of the run's largest pass, so that no step needs more.
  void reserve() {
    auto tokens = Index{0};
    auto sequences = std::size_t{0};
    for (auto const& plan : plans_) {
      for (auto i = std::size_t{0}; i < plan.steps(); ++i) {
        for_each_pass(own(plan.step(i)), options_.accumulate,
                      [&](std::span<std::uint32_t const> records) {
                        tokens = std::max(tokens, token_count(proteins_, records));
                        sequences = std::max(sequences, records.size());
                      });
      }
    }
    batch_.reserve(static_cast<std::size_t>(tokens), sequences);
    d_logits_ = MatrixTensor<A, B::space>{{tokens, Model::classes}};
    model_.reserve(tokens, options_.keep);
  }

  double total_weight(std::span<std::uint32_t const> records) const {
    auto total = 0.;
    for (auto const record : records) {
      for (auto const label : proteins_[record].labels) {
        if (is_known(label)) total += weights_[class_of(label)];
      }
    }
    return total;
  }

  void pack(std::span<std::uint32_t const> records) {
    batch_.clear();
    for (auto const record : records) batch_.add(proteins_[record], record);
  }

  /// Asks the backend for a step; `look()` may throw as long as nothing of it has come to stay.
  void begin(std::span<std::uint32_t const> records, std::int64_t step, std::int64_t epoch,
             std::function<void()> const& look) {
    auto& begun = begun_[static_cast<std::size_t>(step) % begun_.size()];
    begun.start = Clock::now();
    begun.total_weight = total_weight(records);
    begun.record =
        StepRecord{.step = step + 1,
                   .epoch = epoch + 1,
                   .learning_rate = learning_rate(options_.schedule, options_.learning_rate, step,
                                                  steps_, options_.warmup_steps),
                   .tokens = token_count(proteins_, records)};
    auto& parameters = model_.parameters();
    backend_.clear(parameters.gradients());
    backend_.begin_step(numbers_);
    for_each_pass(own(records), options_.accumulate, [&](std::span<std::uint32_t const> part) {
      look();
      pack(part);
      pass_over_batch(step, begun.total_weight, look);
    });
    ranks_.sum(parameters.gradients());
    ranks_.sum(Vector<double, B::space>{&numbers_.data()->loss, {1}});
    backend_.squared_norm(parameters.gradients(), numbers_);
    if (begun.total_weight > 0.) update(begun.record.learning_rate);
    backend_.read(numbers_, begun.numbers);
    last_ = static_cast<std::size_t>(step);
    ++steps_begun_;
  }

  /// What became of the oldest step that was begun.
  StepRecord end() {
    auto& begun = begun_[(last_ + 1 - steps_begun_) % begun_.size()];
    --steps_begun_;
    auto const numbers = begun.numbers.wait();
    auto record = begun.record;
    record.loss = begun.total_weight > 0. ? numbers.loss * (1. / begun.total_weight) : 0.;
    record.gradient_norm = std::sqrt(numbers.squared_norm);
    record.skipped = !numbers.finite() || begun.total_weight == 0.;
    failures_ = numbers.finite() ? 0 : failures_ + 1;
    if (failures_ == patience) {
      throw DivergedError{"step " + std::to_string(record.step) +
                          ": loss or gradient has not been finite for " + std::to_string(patience) +
                          " steps; lower the learning rate"};
    }
    auto const now = Clock::now();
    auto const seconds = std::chrono::duration<double>(now - std::max(begun.start, ended_)).count();
    ended_ = now;
    record.tokens_per_second = static_cast<double>(record.tokens) / seconds;
    return record;
  }

  /// This pass's share of the step's loss and gradients.
  void pass_over_batch(std::int64_t step, double total, std::function<void()> const& look) {
    auto const dropout = Dropout{.probability = model_.lora().dropout,
                                 .seed = model_.lora().seed,
                                 .step = static_cast<std::uint32_t>(step)};
    auto const batch = backend_.stage(batch_.view());
    if (d_logits_.extent(0) < batch_.tokens()) {
      d_logits_ = MatrixTensor<A, B::space>{{batch_.tokens(), Model::classes}};
    }
    auto const d_logits = d_logits_.view().slice(0, batch_.tokens());  // (tokens, 2)
    auto const scale = total > 0. ? 1. / total : 0.;
    backend_.repeat(repeats_, batch.packing.shape(), [&] {
      auto const logits = model_.forward(backend_, batch, options_.keep, dropout, look);
      backend_.cross_entropy(logits, batch.labels, weights_, scale, d_logits, numbers_);
      model_.backward(backend_, d_logits, look);
    });
  }

  void update(double rate) {
    auto const& parameters = model_.parameters();
    auto step = AdamWStep{
        .learning_rate = rate, .weight_decay = options_.weight_decay, .clip = options_.clip};
    backend_.count_update(numbers_);
    auto const apply = [&](Index first, Index count) {
      backend_.adamw(parameters.values().slice(first, count),
                     parameters.gradients().slice(first, count),
                     parameters.first_moments().slice(first, count),
                     parameters.second_moments().slice(first, count), step, numbers_);
    };
    apply(0, parameters.decayed());
    step.weight_decay = 0.;
    apply(parameters.decayed(), parameters.size() - parameters.decayed());
  }

  B& backend_;
  Model& model_;
  std::span<Protein const> proteins_;
  FitOptions options_;
  std::array<double, 2> weights_;
  std::vector<EpochPlan> plans_;  // one an epoch
  std::int64_t steps_ = 0;
  int failures_ = 0;
  VectorTensor<StepNumbers, B::space> numbers_{{1}};
  std::array<Begun, 2> begun_;
  std::size_t steps_begun_ = 0;  // and not ended
  std::size_t last_ = 0;         // step that was begun
  Clock::time_point ended_{};
  dist::Collective<C> ranks_;
  std::vector<double> costs_;       // of a step's records
  std::vector<std::uint32_t> own_;  // records of a step
  PackedBatch batch_;
  typename B::Repeats repeats_;
  MatrixTensor<A, B::space> d_logits_;
};

}  // namespace qlora::inline v1
