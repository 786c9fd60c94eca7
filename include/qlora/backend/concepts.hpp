/// What the model asks of a backend. A backend is an object with the types `Compute` (T) and
/// `Accumulator` (A), the constant `space`, and the verbs below as members. Policies say what, a
/// backend says how; the CPU's are the reference with which others are compared.
///
/// Shapes: n tokens, d features. `=` overwrites, `+=` accumulates. Operands never overlap unless a
/// verb says so. Every verb checks its shapes on entry and throws ShapeError.
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

#include <qlora/backend/dropout.hpp>
#include <qlora/core/host_device.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

/// Whether a verb replaces its output or adds to it.
enum class Write { assign, accumulate };
enum class Rotation { forward, inverse };

/// Hyperparameters of one AdamW step (Loshchilov and Hutter, "Decoupled weight decay
/// regularization", ICLR 2019).
struct AdamWStep {
  double learning_rate = 1e-3;
  double beta1 = .9;
  double beta2 = .999;
  double epsilon = 1e-8;
  double weight_decay = 0.;
  double clip = 0.;  ///< largest norm of all gradients; they are scaled down to it; 0 for none
};

/// What is counted while a model is trained. It lies where the backend computes, so that no step
/// waits for a number of its own.
struct StepNumbers {
  double loss;          ///< of the step so far: summed over tokens, weighted
  double squared_norm;  ///< of the step's gradients
  double updates;       ///< of the parameters, from the first step on

  /// Whether the step's gradients can be used.
  QLORA_HOST_DEVICE bool finite() const {
    constexpr auto largest = std::numeric_limits<double>::max();
    return std::fabs(loss) <= largest && squared_norm <= largest;
  }
};

/// The matrices of one LoRA target, or of several that read the same input: `a` stacks `targets`
/// matrices of (rank, d) each, whose dropout masks are drawn for sites first_site, first_site + 1,
/// ...
struct LoraInput {
  Index targets = 1;
  std::uint32_t first_site = 0;
  Dropout dropout{};
};

template <class B>
concept BackendTypes = requires {
  typename B::Compute;
  typename B::Accumulator;
  { B::space } -> std::convertible_to<Space>;
}
&&ComputeType<typename B::Compute>;

namespace detail {
template <class B, class T>
using In = Matrix<T const, B::space>;
template <class B, class T>
using Out = Matrix<T, B::space>;
}  // namespace detail

/// Products with frozen weights.
template <class B>
concept ProductVerbs = BackendTypes<B> &&
    requires(B& b, detail::In<B, typename B::Compute> x, detail::Out<B, typename B::Compute> y,
             detail::Out<B, typename B::Accumulator> sum,
             Vector<typename B::Accumulator const, B::space> bias) {
  // y (n, out) = or += x (n, in) w (out, in)^T + bias (out)
  b.linear(x, x, bias, y, Write::assign);
  b.linear(x, x, bias, sum, Write::accumulate);
  // dx (n, in) = or += dy (n, out) w (out, in)
  b.linear_backward(x, x, y, Write::assign);
  b.linear_backward(x, x, sum, Write::accumulate);
};

/// The skinny products of LoRA and of the classifier, parameters in A.
template <class B>
concept LoraVerbs = BackendTypes<B> &&
    requires(B& b, detail::In<B, typename B::Compute> x, detail::In<B, typename B::Accumulator> p,
             detail::Out<B, typename B::Compute> y, detail::Out<B, typename B::Accumulator> g,
             Packing<B::space> packing, LoraInput input, typename B::Accumulator scale) {
  // h (n, targets r) = dropout(x) (n, d) a (targets r, d)^T
  b.lora_project(x, p, input, packing, g);
  // da += dh^T dropout(x);  dx += dropout'(dh a), left out when dx is empty
  b.lora_project_backward(x, p, input, packing, p, g, g);
  // y (n, out) += scale h (n, r) b (out, r)^T
  b.lora_expand(p, p, scale, y);
  b.lora_expand(p, p, scale, g);
  // dh (n, r) = scale dy (n, out) b;  db (out, r) += scale dy^T h
  b.lora_expand_backward(p, p, scale, x, g, g);
};

/// Everything between the products.
template <class B>
concept LayerVerbs = BackendTypes<B> &&
    requires(B& b, detail::In<B, typename B::Compute> x, detail::In<B, typename B::Accumulator> r,
             detail::Out<B, typename B::Compute> y, detail::Out<B, typename B::Accumulator> s,
             Vector<typename B::Accumulator const, B::space> v,
             Vector<std::int32_t const, B::space> ids, Packing<B::space> packing,
             typename B::Accumulator scalar, Index heads) {
  // y (n, d)[t] = scale table[ids[t]]
  b.embed(ids, scalar, r, s);
  // y = (x - mean) rstd gamma + beta; stats (n, 2) = mean, rstd
  b.layer_norm(r, v, v, scalar, y, s);
  b.layer_norm(r, v, v, scalar, s, s);
  // dx += the gradient of layer_norm at x, given dy and its stats
  b.layer_norm_backward(r, r, v, r, s);
  // g = u Phi(u), the erf form;  du = dg (Phi(u) + u phi(u)), du may be dg's storage
  b.gelu(x, y);
  b.gelu_backward(x, x, y);
  // Rotates each head's halves by its token's position, in place, and multiplies by the scalar
  b.rotary(y, heads, packing, scalar, Rotation::forward);
  // out (n, d) = softmax(q k^T) v within each sequence and head; lse (heads, n) = log-sum-exp
  b.attention(x, x, x, heads, packing, y, s);
  // dq, dk, dv (n, d) = gradients, given out, its gradient, and lse
  b.attention_backward(x, x, x, heads, packing, x, x, r, y, y, y);
};

/// The two ends of the backward pass, and plain moves of data.
template <class B>
concept TrainingVerbs = BackendTypes<B> &&
    requires(B& b, TokenBatch<Space::host> batch, detail::In<B, typename B::Accumulator> x,
             detail::Out<B, typename B::Accumulator> y, detail::Out<B, typename B::Compute> narrow,
             Vector<typename B::Accumulator, B::space> v,
             Vector<typename B::Accumulator const, B::space> u,
             Vector<std::int32_t const, B::space> labels, std::array<double, 2> class_weights,
             double scale, AdamWStep step, Vector<StepNumbers, B::space> numbers,
             typename B::Reading reading, typename B::Repeats repeats, BatchShape shape,
             void (*body)()) {
  // the batch where the backend computes, valid until the next one
  { b.stage(batch) } -> std::same_as<TokenBatch<B::space>>;
  // y = x;  y = 0;  y = x rounded to T
  b.copy(x, y);
  b.clear(v);
  b.round(x, narrow);
  // y (n, k) += v (k) on every row;  v (k) += the sum of x's rows
  b.add_bias(u, y);
  b.sum_rows(x, v);
  // loss = 0
  b.begin_step(numbers);
  // loss += sum of w_y nll over the labelled tokens of logits (n, 2); dlogits = scale times its
  // gradient
  b.cross_entropy(x, labels, class_weights, scale, y, numbers);
  // squared_norm = sum of squares
  b.squared_norm(u, numbers);
  // updates += 1 if the numbers are finite
  b.count_update(numbers);
  // one update of parameters, given gradients and both moments; none unless the numbers are finite
  b.adamw(v, u, v, v, step, numbers);
  // a copy of the numbers as they are after what was asked for so far
  b.read(numbers, reading);
  { reading.wait() } -> std::same_as<StepNumbers>;
  // calls body(), which asks for the work of a pass over a batch of this shape and does nothing
  // else: it may be called twice. `repeats` is kept by whoever asks for the same passes again
  b.repeat(repeats, shape, body);
  // whether verbs return before their work is done
  { B::asynchronous } -> std::convertible_to<bool>;
};

/// Everything together. Two verbs are asked for where a weight's scheme is known:
///
///     dequantize(weight, y)             y (out, in) = the frozen weight
///     expanded(weights, memory, use)    use(w), w (sum of out, in) = weights below each other
///
/// The latter lets w lie in `memory`, of `B::panels` times w's size at least, while what `use` asks
/// for reads it, and not longer. That memory is for this alone: a backend may fill it for the next
/// call before the work asked for in between is done.
template <class B>
concept Backend = ProductVerbs<B> && LoraVerbs<B> && LayerVerbs<B> && TrainingVerbs<B>;

}  // namespace qlora::inline v1
