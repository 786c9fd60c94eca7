/// A session on one backend.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include <qlora/esm2.hpp>

#if defined(QLORA_HAS_NCCL) && defined(__CUDACC__)
#include <qlora/dist/nccl.cuh>
#endif

#include "session.hpp"
#include "termination.hpp"

namespace qlora::cli {

template <class B>
class SessionOf final : public Session {
  using Study = Experiment<model::Dynamic, quant::Any, placement::Sites, metrics::Chosen, B>;

 public:
  explicit SessionOf(SessionOptions const& options)
      : study_{open(options)}, ranks_{options.ranks != nullptr ? *options.ranks : alone_} {}

  bool fresh_head() const override { return study_.fresh_head(); }
  Index trainable_parameters() const override { return study_.trainable_parameters(); }
  std::string quantization() const override {
    return std::string{study_.network().layers().front().qkv.weights().front().scheme().name};
  }
  std::size_t device_peak_bytes() const override {
    if constexpr (B::space == Space::device) {
      return Memory<B::space>::peak_bytes;
    } else {
      return 0;
    }
  }
  ClassWeights class_weights() const override { return study_.class_weights(); }
  void set_class_weights(ClassWeights const& weights) override {
    study_.set_class_weights(weights);
  }
  dist::Any& ranks() override { return ranks_; }
  std::int64_t fit(std::span<Protein const> proteins, FitOptions const& options,
                   OnStep const& on_step, OnEpoch const& on_epoch,
                   Checkpointing<float> const& checkpointing) override {
    return over_ranks([&](auto& ranks) {
      return std::ssize(study_.fit(proteins, options, on_step, on_epoch, checkpointing, ranks));
    });
  }
  void predict(std::span<Protein const> proteins, OnLogits const& on_logits) override {
    auto const look = [&] {
      if (ranks_.size() == 1) Termination::check();  // others would wait for this one
    };
    study_.predict(proteins, on_logits, ranks_, look);
  }
  void save_adapter(std::filesystem::path const& folder) const override {
    study_.save_adapter(folder);
  }
  std::vector<std::string> load_adapter(std::filesystem::path const& folder) override {
    return study_.load_adapter(folder);
  }
  std::vector<float> parameters() const override {
    auto const stored = on_host(study_.network().parameters().values());
    auto const values = Vector<typename B::Accumulator const>{stored};
    return {values.begin(), values.end()};
  }
  void set_parameters(std::span<float const> values) override {
    auto const stored = Vector<float const>{values.data(), {static_cast<Index>(values.size())}};
    transfer(stored, study_.network().parameters().values());
  }

 private:
  /// Calls `body` with what steps are shared over: of GPUs, one for each rank, NCCL.
  template <class Body>
  auto over_ranks(Body&& body) {
#if defined(QLORA_HAS_NCCL) && defined(__CUDACC__)
    if constexpr (B::space == Space::device) {
      using Gpus = dist::Nccl<dist::Any>;
      if (ranks_.size() > 1 && Gpus::has_gpu_each(ranks_)) {
        auto gpus = Gpus{ranks_, study_.backend().stream()};
        return body(gpus);
      }
    }
#endif
    return body(ranks_);
  }

  static Study open(SessionOptions const& options) {
    if constexpr (B::space == Space::device) {
      Memory<B::space>::peak_bytes = Memory<B::space>::held_bytes.load();
    }
    auto const& [model, device, compute, quant, placement, lora, random_base, ranks] = options;
    return random_base ? Study::untrained(model, lora, quant, placement)
                       : Study::load(model, lora, quant, placement);
  }

  Study study_;
  dist::Any alone_;
  dist::Any& ranks_;
};

}  // namespace qlora::cli
