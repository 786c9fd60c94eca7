/// One layer of the ESM-2 encoder, forward and backward: pre-norm attention and pre-norm
/// feed-forward, each with a residual connection (Lin et al., Science 379, 2023).
#pragma once

#include <cmath>
#include <concepts>

#include <qlora/core/arena.hpp>
#include <qlora/nn/linear.hpp>

namespace qlora::inline v1::nn {

/// Sizes of an encoder; the same for every layer.
struct EncoderShape {
  Index hidden = 0;
  Index layers = 0;
  Index heads = 0;
  Index intermediate = 0;
  Index vocabulary = 33;
  double layer_norm_eps = 1e-5;
  bool token_dropout = true;

  Index head_dim() const { return hidden / heads; }
};

/// What a layer's forward pass leaves for its backward pass, besides the layer's input.
template <class B>
struct LayerState {
  using T = typename B::Compute;
  using A = typename B::Accumulator;
  static constexpr Space space = B::space;

  Matrix<A, space> attention_stats;  ///< (n, 2): mean and 1 / deviation of the first LayerNorm
  Matrix<T, space> qkv;              ///< (n, 3 hidden): queries and keys rotated, queries scaled
  Matrix<A, space> lse;              ///< (heads, n)
  Matrix<T, space> context;          ///< (n, hidden): attention's output, heads side by side
  Matrix<A, space> middle;           ///< (n, hidden): residual stream between the two halves
  Matrix<A, space> ffn_stats;        ///< (n, 2)
  Matrix<T, space> up;               ///< (n, intermediate): before GELU
  Matrix<A, space> h_qkv, h_out, h_up, h_down;  ///< (n, adapted targets x rank) each
};

/// Memory that every layer overwrites. d_up and d_qkv may share theirs, and with `activated` where
/// no `down` is adapted.
template <class B>
struct LayerScratch {
  using T = typename B::Compute;
  using A = typename B::Accumulator;
  static constexpr Space space = B::space;

  Vector<T, space> panels;     ///< expanded weights
  Matrix<T, space> normed;     ///< (n, hidden)
  Matrix<T, space> activated;  ///< (n, intermediate)
  // backward only
  Matrix<T, space> narrow;    ///< (n, hidden); none where T is A
  Matrix<T, space> d_up;      ///< (n, intermediate)
  Matrix<T, space> d_qkv;     ///< (n, 3 hidden)
  Matrix<A, space> d_normed;  ///< (n, hidden)
  Matrix<A, space> dh;        ///< (n, widest h)
};

/// Parameters of a LayerNorm, never quantized.
template <class A, Space M>
struct Norm {
  VectorTensor<A, M> gamma, beta;  ///< (hidden)
};

template <class B, class Weight>
struct EncoderLayer {
  using T = typename B::Compute;
  using A = typename B::Accumulator;
  static constexpr Space space = B::space;
  using State = LayerState<B>;
  using Scratch = LayerScratch<B>;

  Norm<A, space> attention_norm, ffn_norm;
  Linear<B, Weight> qkv, out, up, down;

  bool adapted() const { return qkv.adapted() || out.adapted() || up.adapted() || down.adapted(); }

  State state(Arena<space>& arena, EncoderShape const& shape, Index n) const {
    return {.attention_stats = arena.template matrix<A>(n, 2),
            .qkv = arena.template matrix<T>(n, 3 * shape.hidden),
            .lse = arena.template matrix<A>(shape.heads, n),
            .context = arena.template matrix<T>(n, shape.hidden),
            .middle = arena.template matrix<A>(n, shape.hidden),
            .ffn_stats = arena.template matrix<A>(n, 2),
            .up = arena.template matrix<T>(n, shape.intermediate),
            .h_qkv = arena.template matrix<A>(n, qkv.hidden()),
            .h_out = arena.template matrix<A>(n, out.hidden()),
            .h_up = arena.template matrix<A>(n, up.hidden()),
            .h_down = arena.template matrix<A>(n, down.hidden())};
  }

  /// y (n, hidden) = the layer's output for x (n, hidden); fills `state`.
  void forward(B& backend, EncoderShape const& shape, Pass<space> const& pass,
               Matrix<A const, space> x, State const& state, Scratch const& scratch,
               Matrix<A, space> y) const {
    auto const d = shape.hidden;
    normalise(backend, shape, attention_norm, x, scratch, state.attention_stats);
    qkv.forward(backend, pass, scratch.normed, scratch.panels, state.h_qkv, state.qkv,
                Write::assign);
    auto const q = state.qkv.columns(0, d);
    auto const k = state.qkv.columns(d, d);
    auto const v = state.qkv.columns(2 * d, d);
    backend.rotary(q, shape.heads, pass.packing, query_scale(shape), Rotation::forward);
    backend.rotary(k, shape.heads, pass.packing, A{1}, Rotation::forward);
    backend.attention(q, k, v, shape.heads, pass.packing, state.context, state.lse);
    backend.copy(x, state.middle);
    out.forward(backend, pass, state.context, scratch.panels, state.h_out, state.middle,
                Write::accumulate);

    normalise(backend, shape, ffn_norm, state.middle, scratch, state.ffn_stats);
    up.forward(backend, pass, scratch.normed, scratch.panels, state.h_up, state.up, Write::assign);
    backend.gelu(state.up, scratch.activated);
    backend.copy(state.middle, y);
    down.forward(backend, pass, scratch.activated, scratch.panels, state.h_down, y,
                 Write::accumulate);
  }

  /// d (n, hidden), the gradient of y, becomes that of x; gradients of adapters +=. What is cheap
  /// is computed again where an adapter reads it: normalised inputs and GELU. With `lowest`,
  /// nothing below needs a gradient, and d is left unfinished.
  void backward(B& backend, EncoderShape const& shape, Pass<space> const& pass,
                Matrix<A const, space> x, State const& state, Scratch const& scratch, bool lowest,
                Matrix<A, space> d) const {
    auto const hidden = shape.hidden;
    auto const dh = [&](auto const& linear) { return scratch.dh.columns(0, linear.hidden()); };

    if (down.adapted()) backend.gelu(state.up, scratch.activated);
    down.backward(backend, pass, scratch.activated, state.h_down, narrow(backend, d, scratch),
                  scratch.panels, dh(down), scratch.d_up);
    backend.gelu_backward(state.up, scratch.d_up, scratch.d_up);
    if (up.adapted()) normalise(backend, shape, ffn_norm, state.middle, scratch, state.ffn_stats);
    up.backward(backend, pass, scratch.normed, state.h_up, scratch.d_up, scratch.panels, dh(up),
                scratch.d_normed);
    backend.layer_norm_backward(scratch.d_normed, state.middle, ffn_norm.gamma, state.ffn_stats, d);

    auto const d_context = scratch.normed;  // (n, hidden)
    out.backward(backend, pass, state.context, state.h_out, narrow(backend, d, scratch),
                 scratch.panels, dh(out), d_context);
    auto const part = [&](auto matrix, Index i) { return matrix.columns(i * hidden, hidden); };
    auto const dq = part(scratch.d_qkv, 0);
    auto const dk = part(scratch.d_qkv, 1);
    backend.attention_backward(part(state.qkv, 0), part(state.qkv, 1), part(state.qkv, 2),
                               shape.heads, pass.packing, state.context, d_context, state.lse, dq,
                               dk, part(scratch.d_qkv, 2));
    backend.rotary(dq, shape.heads, pass.packing, query_scale(shape), Rotation::inverse);
    backend.rotary(dk, shape.heads, pass.packing, A{1}, Rotation::inverse);
    if (qkv.adapted()) normalise(backend, shape, attention_norm, x, scratch, state.attention_stats);
    qkv.backward(backend, pass, scratch.normed, state.h_qkv, scratch.d_qkv, scratch.panels, dh(qkv),
                 lowest ? Matrix<A, space>{} : scratch.d_normed);
    if (lowest) return;
    backend.layer_norm_backward(scratch.d_normed, x, attention_norm.gamma, state.attention_stats,
                                d);
  }

 private:
  static A query_scale(EncoderShape const& shape) {
    return A{1} / std::sqrt(static_cast<A>(shape.head_dim()));
  }
  static void normalise(B& backend, EncoderShape const& shape, Norm<A, space> const& norm,
                        Matrix<A const, space> x, Scratch const& scratch, Matrix<A, space> stats) {
    backend.template layer_norm<T>(x, norm.gamma, norm.beta, static_cast<A>(shape.layer_norm_eps),
                                   scratch.normed, stats);
  }
  /// d (n, hidden) as products read it.
  static Matrix<T const, space> narrow(B& backend, Matrix<A, space> d, Scratch const& scratch) {
    if constexpr (std::same_as<T, A>) {
      return d;
    } else {
      backend.round(d, scratch.narrow);
      return scratch.narrow;
    }
  }
};

}  // namespace qlora::inline v1::nn
