/// Whole steps of ESM-2 models with random weights on any backend:
/// training/MODEL/PLACEMENT/QUANT/COMPUTE/LxN and inference/..., N sequences of L tokens with
/// `<cls>` and `<eos>`; and .../uniprot, the proteins of lengths.txt packed in 4,096 tokens a step,
/// all steps once. PLACEMENT is `qkv` of rank 2, or `qkv:r=16`. `of_peak` is the share of what a
/// large product of this precision computes in the same time; `peak_MB` is the process's, with what
/// it has kept of benchmarks before, and `faults` are the pages that a step touched first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include <qlora/core/transfer.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/model/sizes.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/quant/dequantize.hpp>
#include <qlora/quant/quantize.hpp>
#include <qlora/train/trainer.hpp>

#include "support/inputs.hpp"
#include "support/measure.hpp"

namespace bench {
namespace {
using namespace qlora;
using model::shape_of;

enum class Pass { training, inference };

struct NamedShape {
  std::string name;
  nn::EncoderShape shape;
};
/// From the smallest on.
std::vector<NamedShape> const models{{"8M", shape_of<esm2::T6_8M>()},
                                     {"35M", shape_of<esm2::T12_35M>()},
                                     {"150M", shape_of<esm2::T30_150M>()},
                                     {"650M", shape_of<esm2::T33_650M>()},
                                     {"3B", shape_of<esm2::T36_3B>()}};
auto const models_of_processors = std::span{models}.first(4);

/// What one benchmark is run on.
struct Setting {
  nn::EncoderShape shape;
  placement::Sites placement;
  quant::Any quantization;
  std::vector<Index> lengths;  ///< tokens of each sequence
  BatchOptions batch;
  std::string name;  ///< of lengths and batches
  Index rank = 2;
  Keep keep = Keep::everything;  ///< from forward to backward

  Index tokens() const { return std::accumulate(lengths.begin(), lengths.end(), Index{0}); }
  /// Of all sequences once. Products of the weights: forward, and in training for the input's
  /// gradient, since the base is frozen, but for the lowest query, key and value. Attention: its
  /// backward pass is twice its forward one.
  double flops(Pass pass) const {
    auto const square = shape.hidden * shape.hidden;
    auto const weights = 24 * square * shape.layers;
    auto sum = 0.;
    for (auto const length : lengths) {
      auto const attention = 4 * length * shape.hidden * shape.layers;
      auto const of_token =
          pass == Pass::training ? 2 * weights - 6 * square + 3 * attention : weights + attention;
      sum += static_cast<double>(length * of_token);
    }
    return sum;
  }
};

inline Setting equal_lengths(nn::EncoderShape const& shape, placement::Sites const& placement,
                             quant::Any const& quantization, Index length, Index sequences) {
  return {shape,
          placement,
          quantization,
          std::vector<Index>(static_cast<std::size_t>(sequences), length),
          {.sequences = sequences},
          std::to_string(length) + "x" + std::to_string(sequences)};
}

/// The numbers of bench/lengths.txt, or of the file that the environment's QLORA_BENCH_LENGTHS
/// names, and two tokens a sequence.
inline std::vector<Index> uniprot_lengths() {
  auto const* const other = std::getenv("QLORA_BENCH_LENGTHS");
  auto file = std::ifstream{other != nullptr ? other : QLORA_BENCH_LENGTHS};
  auto lengths = std::vector<Index>{};
  for (auto line = std::string{}; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    auto words = std::istringstream{line};
    for (auto residues = Index{0}; words >> residues;) lengths.push_back(residues + 2);
    if (!words.eof()) throw InputError{"bench/lengths.txt: expected numbers, found " + line};
  }
  return lengths;
}

/// A source of weights that no file holds, of the magnitude of an untrained model's. A million of
/// them come again and again: to draw billions takes longer than to train on them.
class RandomWeights {
 public:
  explicit RandomWeights(quant::Any scheme) : scheme_{std::move(scheme)} {
    auto random = RandomSequence{{.seed = 1, .step = 0, .sample = 0, .site = 0}};
    for (auto& value : drawn_) value = .07f * (random.uniform() - .5f);
  }

  MatrixTensor<float> tensor(std::string const& name, Index rows, Index columns) {
    auto const mean = name.ends_with("orm.weight") || name.ends_with("after.weight") ? 1.f : 0.f;
    auto values = MatrixTensor<float>{{rows, columns}};
    for (auto i = Index{0}; i < values.size(); ++i) {
      values.data()[i] = mean + drawn_[next_];
      next_ = next_ + 1 == drawn_.size() ? 0 : next_ + 1;
    }
    return values;
  }
  Quantized<quant::Any> weight(Site, Index rows, Index columns) {
    return quantize(scheme_, tensor("", rows, columns));
  }

 private:
  quant::Any scheme_;
  std::vector<float> drawn_ = std::vector<float>((1 << 20) + 7);  // no multiple of a row
  std::size_t next_ = 0;
};

/// Proteins with a tenth of their residues positive.
std::vector<Protein> random_proteins(Setting const& setting) {
  auto random = RandomSequence{{.seed = 2, .step = 0, .sample = 0, .site = 0}};
  auto proteins = std::vector<Protein>{};
  for (auto const length : setting.lengths) {
    auto& protein = proteins.emplace_back();
    for (auto i = Index{0}; i + 2 < length; ++i) {
      protein.sequence += "LAGVSERTIDPKQNFYMHWC"[random.below(20)];
      protein.labels.push_back(random.below(10) == 0 ? label_positive : label_negative);
    }
  }
  return proteins;
}

/// FLOP/s of the backend's products with a large matrix, on all threads. Measured before a model
/// takes memory.
template <class B>
double peak_flops() {
  using T = typename B::Compute;
  static auto const peak = [] {
    constexpr auto size = Index{B::asynchronous ? 4096 : 1024};
    auto const rows = B::asynchronous ? size : 1024 * Index{thread_count()};
    auto const filled_on = [](Index m, Index n) { return moved_to<B::space>(filled<T>(m, n)); };
    auto const x = filled_on(rows, size), w = filled_on(size, size), y = filled_on(rows, size);
    auto backend = B{};
    auto const multiply = [&] { backend.template linear<T>(x, w, {}, y, Write::assign); };
    auto const flops = 2 * rows * size * size;
    return static_cast<double>(flops) / least_seconds(backend, multiply);
  }();
  return peak;
}

template <class B>
struct Run {
  using A = typename B::Accumulator;
  using Model = Esm2<B, Quantized<quant::Any, B::space>>;

  explicit Run(Setting const& setting)
      : setting{setting},
        source{setting.quantization},
        model{setting.shape,
              source,
              setting.placement,
              {.rank = setting.rank, .alpha = 1.f, .dropout = .5f}},
        proteins{random_proteins(setting)} {
    auto const classifier = model.classifier();
    auto const values = source.tensor("classifier.weight", classifier.rows(), classifier.columns());
    auto const converted = MatrixTensor<A>{classifier.extents()};
    std::copy_n(values.data(), values.size(), converted.data());
    transfer(converted.view(), classifier);
  }

  /// Times `body`, which has run before, so that it finds its memory.
  template <class Body>
  void time(benchmark::State& state, Body const& body) {
    auto const before = use.page_faults();
    measure(state, backend, body);
    state.counters["faults"] =
        benchmark::Counter(use.page_faults() - before, benchmark::Counter::kAvgIterations);
  }

  void finish(benchmark::State& state, Pass pass, int ranks = 1) const {
    constexpr auto mega = 1e6;
    state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(setting.tokens()),
                                                    benchmark::Counter::kIsIterationInvariantRate);
    auto const flops = setting.flops(pass);
    state.counters["FLOP/s"] =
        benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
    state.counters["of_peak"] =
        benchmark::Counter(flops / (ranks * peak), benchmark::Counter::kIsIterationInvariantRate);
    state.counters["activation_MB"] = static_cast<double>(model.activation_bytes()) / mega;
    state.counters["peak_MB"] = use.peak_bytes() / mega;
    state.counters["device_MB"] = static_cast<double>(device_bytes_taken() - before) / mega;
    state.counters["trainable"] = static_cast<double>(model.parameters().size());
  }

  Setting const& setting;
  double peak = peak_flops<B>();
  HostUse use;
  std::size_t before = device_bytes_taken();  ///< by the context, which is not ours
  RandomWeights source;
  B backend;
  Model model;
  std::vector<Protein> proteins;
};

template <class B>
void train(benchmark::State& state, Setting const& setting) {
  auto run = Run<B>{setting};
  auto const options = FitOptions{.batch = setting.batch, .keep = setting.keep};
  auto trainer = Trainer{run.backend, run.model, std::span<Protein const>{run.proteins}, options};
  auto const plan = EpochPlan{run.proteins, setting.batch, Order::as_given, 0, 0};
  auto step = std::int64_t{0};
  auto const train_on_all = [&] {
    for (auto i = std::size_t{0}; i < plan.steps(); ++i) trainer.learn(plan.step(i), step++, 0);
  };
  train_on_all();  // takes memory
  run.time(state, train_on_all);
  run.finish(state, Pass::training);
}

template <class B>
void infer(benchmark::State& state, Setting const& setting) {
  auto run = Run<B>{setting};
  auto const plan = EpochPlan{run.proteins, setting.batch, Order::as_given, 0, 0};
  auto batches = std::vector<PackedBatch>(plan.steps());
  for (auto i = std::size_t{0}; i < plan.steps(); ++i) {
    for (auto const record : plan.step(i)) batches[i].add(run.proteins[record], 0);
  }
  auto const infer_all = [&] {
    for (auto const& batch : batches) run.model.forward(run.backend, batch, Keep::nothing);
  };
  infer_all();  // takes memory
  run.time(state, infer_all);
  run.finish(state, Pass::inference);
}

template <class B>
void add(std::string const& name, void (*body)(benchmark::State&, Setting const&),
         Setting const& setting) {
  with_clock_of<B>(benchmark::RegisterBenchmark(name.c_str(), body, setting))
      ->Unit(benchmark::kMillisecond);
}

/// The name that the file's head gives.
inline std::string name_of(std::string const& what, std::string const& model,
                           Setting const& setting, std::string const& compute) {
  auto const rank = setting.rank == 2 ? "" : ":r=" + std::to_string(setting.rank);
  return what + "/" + model + "/" + setting.placement.name + rank + "/" +
         std::string{setting.quantization.name} + "/" + compute + "/" + setting.name;
}

/// In each precision, `Of<T>` being the backend.
template <template <class> class Of>
void add_training(std::string const& model, Setting const& setting) {
  add<Of<float>>(name_of("training", model, setting, "fp32"), train<Of<float>>, setting);
  add<Of<bf16>>(name_of("training", model, setting, "bf16"), train<Of<bf16>>, setting);
}
template <template <class> class Of>
void add_inference(std::string const& model, Setting const& setting) {
  add<Of<float>>(name_of("inference", model, setting, "fp32"), infer<Of<float>>, setting);
  add<Of<bf16>>(name_of("inference", model, setting, "bf16"), infer<Of<bf16>>, setting);
}

/// Every combination of these models and sizes (length, sequences), the first size with another
/// rank as well; a filter selects some.
template <template <class> class Of>
int add_all(std::span<NamedShape const> models, std::vector<std::pair<Index, Index>> const& sizes) {
  for (auto const& [model, shape] : models) {
    for (auto const& placement : {placement::Sites::of(Qkv{}), placement::Sites::of(AllLinear{})}) {
      for (auto const* const quantization : {"none", "nf4"}) {
        auto const scheme = quant::Any::parse(quantization);
        auto settings = std::vector{
            Setting{shape, placement, scheme, uniprot_lengths(), {.tokens = 4'096}, "uniprot"}};
        for (auto const& [length, sequences] : sizes) {
          settings.push_back(equal_lengths(shape, placement, scheme, length, sequences));
        }
        settings.push_back(settings[1]);
        settings.back().rank = 16;
        for (auto const& setting : settings) {
          add_training<Of>(model, setting);
          add_inference<Of>(model, setting);
        }
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace bench
