/// What a researcher writes: a model, how its frozen weights are stored, where adapters sit, what
/// is measured, and what computes it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <qlora/adapt/placement.hpp>
#include <qlora/backend/concepts.hpp>
#include <qlora/core/random.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/dist/communicator.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/model/adapter.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/model/frozen_weights.hpp>
#include <qlora/model/random_weights.hpp>
#include <qlora/model/sizes.hpp>
#include <qlora/quant/dequantize.hpp>
#include <qlora/train/inference.hpp>
#include <qlora/train/trainer.hpp>

namespace qlora::inline v1 {

/// Every argument is a policy: docs/policies.md has those that come with the library, and shows how
/// to write one's own.
template <class Model, class Quant, class PlacementPolicy, class Metrics, class B>
class Experiment {
  static_assert(ModelSizes<Model>, "a model policy names its sizes; see model/sizes.hpp");
  static_assert(quant::check_scheme<Quant>());
  static_assert(metrics::Set<Metrics>,
                "expected a metric set, such as MetricSet<metrics::F1, YourMetric>; see "
                "metrics/metric_set.hpp");
  static_assert(Backend<B>, "a backend has all verbs of backend/concepts.hpp");

 public:
  using Network = Esm2<B, Quantized<Quant, B::space>>;

  /// Opens a Hugging Face model folder, or a model of that name in the local Hugging Face cache,
  /// and puts fresh adapters on it. A folder without a classifier gets a fresh one: normal weights,
  /// zero bias. Throws InputError for files that cannot be used, ShapeError when the sizes are not
  /// Model's.
  static Experiment load(std::string const& model, LoraOptions const& lora = {},
                         Quant const& scheme = {}, PlacementPolicy const& placement = {}) {
    return open(model, lora, placement, Head::of_folder, [&](ModelFolder const& folder) {
      return FrozenWeights<Quant>{folder, scheme};
    });
  }
  /// The same architecture with random weights, drawn by `lora.seed`, and a fresh classifier: what
  /// there is to find without pre-training.
  static Experiment untrained(std::string const& model, LoraOptions const& lora = {},
                              Quant const& scheme = {}, PlacementPolicy const& placement = {}) {
    return open(model, lora, placement, Head::fresh, [&](ModelFolder const& folder) {
      return RandomWeights<Quant>{scheme, folder.config().initializer_range, lora.seed};
    });
  }

  /// Whether the classifier is a fresh one, which neither model nor adapter brought.
  bool fresh_head() const { return fresh_head_; }
  Index trainable_parameters() const { return network_.parameters().size(); }
  Network& network() { return network_; }
  Network const& network() const { return network_; }
  B& backend() { return backend_; }

  /// Trains adapters and head, and returns a line for each step; `on_step(StepRecord)` sees them as
  /// they come, `on_epoch(epoch)`, from 1, follows each epoch. See train/checkpointing.hpp for
  /// stopping and going on, dist/communicator.hpp for several processes that train together, which
  /// have opened the same model with the same options and give the same arguments.
  template <class OnStep, class OnEpoch, class C = dist::Self>
  requires dist::Communicator<std::remove_reference_t<C>> std::vector<StepRecord> fit(
      std::span<Protein const> proteins, FitOptions const& options, OnStep&& on_step,
      OnEpoch&& on_epoch, Checkpointing<typename B::Accumulator> const& checkpointing = {},
      C&& communicator = {}) {
    auto trainer = Trainer{backend_, network_, proteins, options, communicator};
    class_weights_ = trainer.class_weights();
    auto history = std::vector<StepRecord>{};
    history.reserve(static_cast<std::size_t>(trainer.steps()));
    trainer.run(
        [&](StepRecord const& record) {
          history.push_back(record);
          on_step(record);
        },
        on_epoch, checkpointing);
    return history;
  }
  template <class OnStep>
  std::vector<StepRecord> fit(std::span<Protein const> proteins, FitOptions const& options,
                              OnStep&& on_step) {
    return fit(proteins, options, on_step, [](std::int64_t) {});
  }
  std::vector<StepRecord> fit(std::span<Protein const> proteins, FitOptions const& options = {}) {
    return fit(proteins, options, [](StepRecord const&) {});
  }

  /// Weights of the two classes in evaluate()'s loss: those of the last fit, or those set.
  std::array<double, 2> const& class_weights() const { return class_weights_; }
  void set_class_weights(std::array<double, 2> const& weights) { class_weights_ = weights; }

  /// The metrics of labelled proteins; the loss is weighted by class_weights().
  /// `on_protein(number)` follows each. Throws as predict(), and InputError when no label is known.
  template <class OnProtein>
  metrics::Scores evaluate(std::span<Protein const> proteins, OnProtein&& on_protein) {
    auto set = Metrics{metrics::Options{.class_weights = class_weights_}};
    predict(proteins, [&](std::size_t i, Matrix<float const> logits) {
      if (auto const& labels = proteins[i].labels; !labels.empty()) {
        set.add(static_cast<std::uint32_t>(i),
                std::span{logits.data(), static_cast<std::size_t>(logits.size())}, labels);
      }
      on_protein(i);
    });
    return set.scores();
  }
  metrics::Scores evaluate(std::span<Protein const> proteins) {
    return evaluate(proteins, [](std::size_t) {});
  }

  /// Writes adapters and classifier as a folder that PEFT loads. Throws SystemError when it cannot.
  void save_adapter(std::filesystem::path const& folder) const {
    export_adapter(network_, model_).write(folder);
  }
  /// Takes the values of an adapter of this experiment's rank, scale and placement, and returns
  /// those of its targets that match no module. Throws InputError for one that does not fit.
  std::vector<std::string> load_adapter(std::filesystem::path const& folder) {
    auto const adapter = PeftAdapter::read(folder);
    auto unmatched = import_adapter(network_, adapter, folder.string());
    if (adapter.head) fresh_head_ = false;
    return unmatched;
  }

  /// Calls `body(number, logits)` for each protein in order, logits (residues, 2). Throws
  /// InputError, naming the protein, for labels that are none, and DivergedError, naming the
  /// residue too, for a logit that is not finite. Several processes share the work, and each calls
  /// for all proteins. `look()` is called often meanwhile, and may throw.
  template <class Body, class C = dist::Self>
  requires dist::Communicator<std::remove_reference_t<C>>
  void predict(
      std::span<Protein const> proteins, Body&& body, C&& communicator = {},
      std::function<void()> const& look = [] {}) {
    for_each_logits(backend_, network_, proteins, tokens_per_batch, body, communicator, look);
  }

 private:
  static constexpr Index tokens_per_batch = 4096;

  Experiment(Network network, std::string model)
      : network_{std::move(network)}, model_{std::move(model)} {}

  enum class Head { of_folder, fresh };

  template <class MakeWeights>
  static Experiment open(std::string const& model, LoraOptions const& lora,
                         PlacementPolicy const& placement, Head head, MakeWeights&& make_weights) {
    auto const folder = ModelFolder{find_model(model)};
    auto const& shape = folder.config().shape;
    model::check_sizes<Model>(shape, (folder.path() / "config.json").string());
    auto weights = make_weights(folder);
    auto experiment = Experiment{Network{shape, weights, placement, lora}, model};
    experiment.fresh_head_ = head == Head::fresh || !folder.has_classifier();
    experiment.set_head(folder);
    return experiment;
  }

  void set_head(ModelFolder const& folder) {
    using A = typename B::Accumulator;
    auto const weight = MatrixTensor<A>{network_.classifier().extents()};
    auto const bias = VectorTensor<A>{network_.classifier_bias().extents()};
    if (!fresh_head_) {
      auto const values =
          full_weight(folder, weight_shape(network_.shape(), folder.classifier_site()));
      auto const biases = folder.tensor("classifier.bias", 1, bias.size());
      std::copy_n(values.data(), values.size(), weight.data());
      std::copy_n(biases.data(), biases.size(), bias.data());
    } else {
      fill_normal(std::span{weight.data(), static_cast<std::size_t>(weight.size())},
                  {.seed = network_.lora().seed,
                   .step = 0,
                   .sample = 0,
                   .site = random_site::initialise + folder.classifier_site().id() + 1},
                  static_cast<float>(folder.config().initializer_range));
      std::fill_n(bias.data(), bias.size(), A{0});
    }
    transfer(weight.view(), network_.classifier());
    transfer(bias.view(), network_.classifier_bias());
  }

  B backend_;
  Network network_;
  std::string model_;
  bool fresh_head_ = false;
  std::array<double, 2> class_weights_{1., 1.};
};

}  // namespace qlora::inline v1
