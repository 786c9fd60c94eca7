/// ESM-2 for token classification: embedding, encoder, classifier; frozen weights, trained adapters
/// and head. Written once, over any backend.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <qlora/adapt/lora.hpp>
#include <qlora/adapt/placement.hpp>
#include <qlora/core/arena.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/data/batch.hpp>
#include <qlora/nn/encoder_layer.hpp>

namespace qlora::inline v1 {

/// What a forward pass keeps for a backward pass.
enum class Keep {
  nothing,  ///< inference
  inputs,   ///< each layer's input; the rest is computed again (gradient checkpointing)
  everything
};

/// Where weights come from: `tensor(name, rows, columns)` gives a float matrix (one row for a
/// vector) by its Hugging Face name, `weight(site, rows, columns)` a frozen matrix as the model
/// stores it, both in memory of the host.
template <class S, class Weight>
concept WeightSource = requires(S& source, std::string name, Site site, Index n) {
  { source.tensor(name, n, n) } -> std::same_as<MatrixTensor<float>>;
  { moved_to<Weight::space>(source.weight(site, n, n)) } -> std::same_as<Weight>;
};

template <class B, class Weight>
class Esm2 {
  static_assert(Backend<B>, "a backend needs every verb of backend/concepts.hpp");

 public:
  using T = typename B::Compute;
  using A = typename B::Accumulator;
  using Layer = nn::EncoderLayer<B, Weight>;
  static constexpr Space space = B::space;
  static constexpr Index classes = 2;
  /// Embeddings are scaled by the share of tokens that pre-training's masks left: 1 - 0.15 * 0.8.
  static constexpr double token_dropout_scale = 0.88;

  /// Reads the frozen weights; adapters where `placement` wants them, A random and B zero; the
  /// classifier's values are the caller's to set. Throws InputError for impossible `lora`.
  template <WeightSource<Weight> Source, class P>
  Esm2(nn::EncoderShape const& shape, Source& source, P const& placement, LoraOptions const& lora)
      : shape_{shape}, lora_{lora} {
    check(lora);
    embedding_ = moved_to<space>(
        load(source, "esm.embeddings.word_embeddings.weight", shape.vocabulary, shape.hidden));
    final_norm_ = load_norm(source, "esm.encoder.emb_layer_norm_after");
    layers_.reserve(static_cast<std::size_t>(shape.layers));
    for (auto i = 0; i < static_cast<int>(shape.layers); ++i)
      layers_.push_back(load_layer(source, i));
    adapt(placement);
  }

  nn::EncoderShape const& shape() const { return shape_; }
  LoraOptions const& lora() const { return lora_; }
  Parameters<A, space>& parameters() { return parameters_; }
  Parameters<A, space> const& parameters() const { return parameters_; }
  std::vector<Layer> const& layers() const { return layers_; }

  /// Called before each layer, where the backend does not queue its work; what it throws ends the
  /// pass.
  using Look = std::function<void()>;

  /// Logits (tokens, 2) of a batch, valid until the next call. `dropout` is inactive outside
  /// training.
  Matrix<A, space> forward(
      B& backend, PackedBatch const& batch, Keep keep, Dropout dropout = {},
      Look const& look = [] {}) {
    return forward(backend, backend.stage(batch.view()), keep, dropout, look);
  }
  /// The same of a batch that is where the backend computes.
  Matrix<A, space> forward(
      B& backend, TokenBatch<space> const& batch, Keep keep, Dropout dropout = {},
      Look const& look = [] {}) {
    reserve(batch.packing.tokens(), keep);
    pass_ = {batch.packing, dropout};
    auto const scale = shape_.token_dropout ? static_cast<A>(token_dropout_scale) : A{1};
    backend.embed(batch.ids, scale, embedding_, inputs_[0]);
    for (auto i = std::size_t{0}; i < layers_.size(); ++i) {
      if constexpr (!B::asynchronous) look();
      layers_[i].forward(backend, shape_, pass_, input(i), state(i), scratch_, input(i + 1));
    }
    backend.template layer_norm<A>(input(layers_.size()), final_norm_.gamma, final_norm_.beta,
                                   static_cast<A>(shape_.layer_norm_eps), features_, final_stats_);
    auto const plain = LoraInput{};
    backend.template lora_project<A>(features_, classifier(), plain, pass_.packing, logits_);
    backend.add_bias(classifier_bias(), logits_);
    if (head_) {
      backend.template lora_project<A>(features_, head_->a, head_input(), pass_.packing, head_h_);
      backend.template lora_expand<A>(head_h_, head_->b, head_->scale, logits_);
    }
    return logits_;
  }

  /// Gradients of every parameter += from d_logits (tokens, 2) of the last forward pass, which must
  /// have kept inputs or everything.
  void backward(
      B& backend, Matrix<A const, space> d_logits, Look const& look = [] {}) {
    if (kept_ == Keep::nothing) throw Error{"backward: the forward pass kept nothing"};
    auto const lowest = lowest_adapted();
    auto const encoder_learns = lowest < layers_.size();
    auto const d_features = encoder_learns ? scratch_.d_normed : Matrix<A, space>{};  // (n, d)
    if (encoder_learns) {
      backend.clear(flat(d_stream_));
      backend.clear(flat(d_features));
    }
    backend.template lora_project_backward<A, A>(features_, classifier(), LoraInput{},
                                                 pass_.packing, d_logits, d_features,
                                                 classifier_gradient());
    backend.sum_rows(d_logits, classifier_bias_gradient());
    if (head_) {
      backend.template lora_expand_backward<A>(head_h_, head_->b, head_->scale, d_logits, head_dh_,
                                               head_->db);
      backend.template lora_project_backward<A, A>(features_, head_->a, head_input(), pass_.packing,
                                                   head_dh_, d_features, head_->da);
    }
    if (!encoder_learns) return;
    backend.layer_norm_backward(d_features, input(layers_.size()), final_norm_.gamma, final_stats_,
                                d_stream_);
    for (auto i = layers_.size(); i-- > lowest;) {
      if constexpr (!B::asynchronous) look();
      if (kept_ == Keep::inputs) {
        auto const known = scratch_.d_normed;  // what the layer gave before: (n, d)
        layers_[i].forward(backend, shape_, pass_, input(i), state(i), scratch_, known);
      }
      layers_[i].backward(backend, shape_, pass_, input(i), state(i), scratch_, i == lowest,
                          d_stream_);
    }
  }

  /// Memory for a pass over `tokens`; what is there stays, and grows when a pass needs more.
  void reserve(Index tokens, Keep keep) {
    auto const bytes =
        Arena<space>::measure([&](Arena<space>& arena) { lay_out(arena, tokens, keep); });
    if (activation_bytes() < bytes) {
      arena_.reset();  // first, so that the old and the new never take memory together
      arena_.emplace(bytes);
    }
    kept_ = keep;
    arena_->release(0);
    lay_out(*arena_, tokens, keep);
  }
  /// What `reserve` would take. Ends the last pass.
  std::size_t bytes_of_pass(Index tokens, Keep keep) {
    return Arena<space>::measure([&](Arena<space>& arena) { lay_out(arena, tokens, keep); });
  }
  std::size_t activation_bytes() const { return arena_ ? arena_->capacity_bytes() : 0; }

  /// Residual stream that entered layer `i` (tokens, hidden), or left the last one, after a forward
  /// pass that kept it.
  Matrix<A const, space> residual(std::size_t i) const { return input(i); }
  /// Output of the final LayerNorm (tokens, hidden) after a forward pass.
  Matrix<A const, space> features() const { return features_; }

  Matrix<A, space> classifier() const {
    return parameters_.value(classifier_, classes, shape_.hidden);
  }
  Vector<A, space> classifier_bias() const {
    return parameters_.value(classifier_bias_, 1, classes).row(0);
  }

 private:
  // ---- building

  template <class Source>
  static MatrixTensor<A> load(Source& source, std::string const& name, Index rows, Index columns) {
    auto const values = source.tensor(name, rows, columns);
    auto tensor = MatrixTensor<A>{{rows, columns}};
    for (auto i = Index{0}; i < values.size(); ++i) {
      tensor.data()[i] = static_cast<A>(values.data()[i]);
    }
    return tensor;
  }
  template <class Source>
  static VectorTensor<A, space> load_vector(Source& source, std::vector<std::string> const& names,
                                            Index size) {
    auto tensor = VectorTensor<A>{{static_cast<Index>(names.size()) * size}};
    auto* next = tensor.data();
    for (auto const& name : names) {
      auto const part = load(source, name, 1, size);
      next = std::copy_n(part.data(), size, next);
    }
    return moved_to<space>(std::move(tensor));
  }
  template <class Source>
  nn::Norm<A, space> load_norm(Source& source, std::string const& name) const {
    return {load_vector(source, {name + ".weight"}, shape_.hidden),
            load_vector(source, {name + ".bias"}, shape_.hidden)};
  }
  template <class Source>
  static nn::Linear<B, Weight> load_linear(Source& source, int layer,
                                           std::vector<SiteKind> const& kinds, Index out,
                                           Index in) {
    auto weights = std::vector<Weight>{};
    auto biases = std::vector<std::string>{};
    for (auto const kind : kinds) {
      weights.push_back(moved_to<space>(source.weight(Site{layer, kind}, out, in)));
      biases.push_back(module_path({layer, kind}) + ".bias");
    }
    return {std::move(weights), load_vector(source, biases, out)};
  }
  template <class Source>
  Layer load_layer(Source& source, int i) const {
    auto const d = shape_.hidden;
    auto const f = shape_.intermediate;
    auto const prefix = "esm.encoder.layer." + std::to_string(i) + ".";
    using enum SiteKind;
    return {.attention_norm = load_norm(source, prefix + "attention.LayerNorm"),
            .ffn_norm = load_norm(source, prefix + "LayerNorm"),
            .qkv = load_linear(source, i, {query, key, value}, d, d),
            .out = load_linear(source, i, {attention_output}, d, d),
            .up = load_linear(source, i, {intermediate}, f, d),
            .down = load_linear(source, i, {output}, d, f)};
  }

  /// Runs of neighbouring adapted targets of one linear layer become groups; their offsets are kept
  /// until the parameters have memory.
  struct Planned {
    nn::Linear<B, Weight>* linear;
    LoraGroup<A, space> group;
    Index in, out, a, b;
  };

  template <class P>
  void adapt(P const& placement) {
    static_assert(Placement<P>,
                  "a placement needs bool adapts(Site) const; see adapt/placement.hpp");
    auto planned = std::vector<Planned>{};
    using enum SiteKind;
    for (auto i = 0; i < static_cast<int>(layers_.size()); ++i) {
      auto& layer = layers_[static_cast<std::size_t>(i)];
      plan(planned, placement, layer.qkv, i, {query, key, value});
      plan(planned, placement, layer.out, i, {attention_output});
      plan(planned, placement, layer.up, i, {intermediate});
      plan(planned, placement, layer.down, i, {output});
    }
    auto const last = Site{static_cast<int>(layers_.size()), SiteKind::classifier};
    auto const head_adapted = placement.adapts(last);
    auto head = Planned{nullptr, {}, shape_.hidden, classes, 0, 0};
    if (head_adapted) head = allot({last}, nullptr, 0, shape_.hidden, classes);
    classifier_ =
        parameters_.add(std::string{peft::prefix} + "classifier.weight", classes, shape_.hidden);
    parameters_.end_of_decayed();
    classifier_bias_ = parameters_.add(std::string{peft::prefix} + "classifier.bias", classes, 0);
    parameters_.allocate();
    auto const initial = VectorTensor<A>{{parameters_.size()}};
    std::fill_n(initial.data(), initial.size(), A{0});
    for (auto& one : planned) one.linear->groups().push_back(bind(one, initial));
    if (head_adapted) head_ = bind(head, initial);
    transfer(initial.view(), parameters_.values());
  }

  template <class P>
  void plan(std::vector<Planned>& planned, P const& placement, nn::Linear<B, Weight>& linear,
            int layer, std::vector<SiteKind> const& kinds) {
    for (auto first = std::size_t{0}; first < kinds.size();) {
      auto run = std::vector<Site>{};
      while (first + run.size() < kinds.size() &&
             placement.adapts(Site{layer, kinds[first + run.size()]})) {
        run.push_back({layer, kinds[first + run.size()]});
      }
      if (!run.empty()) {
        planned.push_back(
            allot(run, &linear, static_cast<Index>(first), linear.in(), linear.out()));
      }
      first += std::max(run.size(), std::size_t{1});
    }
  }
  Planned allot(std::vector<Site> const& sites, nn::Linear<B, Weight>* linear, Index first,
                Index in, Index out) {
    auto const name = [&](Site site, char const* part) {
      return std::string{peft::prefix} + module_path(site) + "." + part + ".weight";
    };
    auto const r = lora_.rank;
    auto const a = parameters_.size();
    for (auto const site : sites) parameters_.add(name(site, "lora_A"), r, in);
    auto const b = parameters_.size();
    for (auto const site : sites) parameters_.add(name(site, "lora_B"), out, r);
    auto group = LoraGroup<A, space>{};
    group.first_target = first;
    group.targets = static_cast<Index>(sites.size());
    group.first_site = sites.front().id();
    group.scale = static_cast<A>(lora_.scale());
    return {linear, group, in, out, a, b};
  }
  LoraGroup<A, space> bind(Planned const& planned, Vector<A> initial) {
    auto group = planned.group;
    auto const targets = group.targets;
    group.a = parameters_.value(planned.a, targets * lora_.rank, planned.in);
    group.da = parameters_.gradient(planned.a, targets * lora_.rank, planned.in);
    group.b = parameters_.value(planned.b, targets * planned.out, lora_.rank);
    group.db = parameters_.gradient(planned.b, targets * planned.out, lora_.rank);
    for (auto t = Index{0}; t < targets; ++t) {
      auto const site = group.first_site + static_cast<std::uint32_t>(t);
      auto const size = lora_.rank * planned.in;
      initialise_lora_a(initial.slice(planned.a + t * size, size), planned.in, lora_.seed, site);
    }
    return group;
  }

  // ---- memory of a pass

  void lay_out(Arena<space>& arena, Index n, Keep keep) {
    auto const d = shape_.hidden;
    auto const layers = layers_.size();
    auto panel = Index{0};
    auto widest = Index{1};
    auto reads_activated = false;  // beside its gradient
    for (auto const& layer : layers_) {
      reads_activated = reads_activated || layer.down.adapted();
      for (auto const* linear : {&layer.qkv, &layer.out, &layer.up, &layer.down}) {
        panel = std::max(panel, linear->expanded_size());
        widest = std::max(widest, linear->hidden());
      }
    }
    // First, so that they lie at the same place for every n: a backend may fill them for the next
    // pass while this one goes on.
    auto const panels = arena.template vector<T>(B::panels * panel);
    inputs_.clear();
    auto const streams = keep == Keep::nothing ? std::size_t{2} : layers + 1;
    for (auto i = std::size_t{0}; i < streams; ++i) {
      inputs_.push_back(arena.template matrix<A>(n, d));
    }
    states_.clear();
    auto const first_state = arena.mark();
    auto end_of_states = first_state;
    for (auto i = std::size_t{0}; i < layers; ++i) {
      // Layers share one state's memory unless everything is kept.
      if (keep != Keep::everything) arena.release(first_state);
      states_.push_back(layers_[i].state(arena, shape_, n));
      end_of_states = std::max(end_of_states, arena.mark());
    }
    arena.release(end_of_states);
    auto const m = keep == Keep::nothing ? Index{0} : n;
    scratch_.panels = panels;
    scratch_.normed = arena.template matrix<T>(n, d);
    scratch_.narrow = arena.template matrix<T>(std::same_as<T, A> ? 0 : m, d);
    auto const activate = [&] {
      scratch_.activated = arena.template matrix<T>(n, shape_.intermediate);
    };
    auto const d_up = [&] { scratch_.d_up = arena.template matrix<T>(m, shape_.intermediate); };
    auto const d_qkv = [&] { scratch_.d_qkv = arena.template matrix<T>(m, 3 * d); };
    if (reads_activated) {
      activate();
      arena.overlay(d_up, d_qkv);
    } else {
      arena.overlay(activate, d_up, d_qkv);
    }
    scratch_.d_normed = arena.template matrix<A>(m, d);
    scratch_.dh = arena.template matrix<A>(m, widest);
    features_ = arena.template matrix<A>(n, d);
    final_stats_ = arena.template matrix<A>(n, 2);
    logits_ = arena.template matrix<A>(n, classes);
    head_h_ = arena.template matrix<A>(n, head_ ? lora_.rank : 0);
    head_dh_ = arena.template matrix<A>(m, head_ ? lora_.rank : 0);
    d_stream_ = arena.template matrix<A>(m, d);
  }
  Matrix<A, space> input(std::size_t i) const {
    return inputs_[kept_ == Keep::nothing ? i % 2 : i];
  }
  nn::LayerState<B> const& state(std::size_t i) const { return states_[i]; }
  LoraInput head_input() const { return {1, head_->first_site, pass_.dropout}; }

  std::size_t lowest_adapted() const {
    auto const found = std::find_if(layers_.begin(), layers_.end(),
                                    [](Layer const& layer) { return layer.adapted(); });
    return static_cast<std::size_t>(found - layers_.begin());
  }
  static Vector<A, space> flat(Matrix<A, space> matrix) { return {matrix.data(), {matrix.size()}}; }
  Matrix<A, space> classifier_gradient() const {
    return parameters_.gradient(classifier_, classes, shape_.hidden);
  }
  Vector<A, space> classifier_bias_gradient() const {
    return parameters_.gradient(classifier_bias_, 1, classes).row(0);
  }

  nn::EncoderShape shape_;
  LoraOptions lora_;
  MatrixTensor<A, space> embedding_;  // (vocabulary, hidden)
  std::vector<Layer> layers_;
  nn::Norm<A, space> final_norm_;
  Parameters<A, space> parameters_;
  std::optional<LoraGroup<A, space>> head_;
  Index classifier_ = 0, classifier_bias_ = 0;

  std::optional<Arena<space>> arena_;
  Keep kept_ = Keep::nothing;
  nn::Pass<space> pass_;
  std::vector<Matrix<A, space>> inputs_;  // (n, hidden) into each layer, and out of the last
  std::vector<nn::LayerState<B>> states_;
  nn::LayerScratch<B> scratch_;
  Matrix<A, space> features_, final_stats_, logits_, head_h_, head_dh_, d_stream_;
};

}  // namespace qlora::inline v1
