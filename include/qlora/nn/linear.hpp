/// A linear layer on a frozen, possibly quantized weight, with adapters: y = x W^T + bias + s
/// dropout(x) A^T B^T. Several weights that read the same input are stacked (query, key and value),
/// and become one product.
#pragma once

#include <utility>
#include <vector>

#include <qlora/adapt/lora.hpp>
#include <qlora/backend/concepts.hpp>

namespace qlora::inline v1::nn {

/// What a pass over a batch is given besides tensors.
template <Space M>
struct Pass {
  Packing<M> packing;
  Dropout dropout{};  ///< of adapters' inputs; inactive outside training
};

/// `Weight` is `Quantized<Scheme, space>`; the backend expands it into scratch for every use,
/// unless it is stored as T already.
template <class B, class Weight>
class Linear {
 public:
  using T = typename B::Compute;
  using A = typename B::Accumulator;
  static constexpr Space space = B::space;

  Linear() = default;
  /// `weights`: one or more of (out, in) each; `bias`: (sum of out).
  Linear(std::vector<Weight> weights, VectorTensor<A, space> bias)
      : weights_{std::move(weights)}, bias_{std::move(bias)} {}

  Index in() const { return weights_.front().columns(); }
  Index out() const { return weights_.front().rows(); }
  Index stacked_out() const { return out() * static_cast<Index>(weights_.size()); }
  std::vector<Weight> const& weights() const { return weights_; }

  std::vector<LoraGroup<A, space>>& groups() { return groups_; }
  bool adapted() const { return !groups_.empty(); }
  /// Columns of h: adapted targets times rank.
  Index hidden() const {
    auto columns = Index{0};
    for (auto const& group : groups_) columns += group.a.rows();
    return columns;
  }
  Index expanded_size() const { return stacked_out() * in(); }

  /// y (n, stacked out) = or += the layer's output for x (n, in). Saves h (n, hidden) = dropout(x)
  /// A^T. `panels` holds `B::panels` times `expanded_size()` elements.
  template <class U>
  void forward(B& backend, Pass<space> const& pass, Matrix<T const, space> x,
               Vector<T, space> panels, Matrix<A, space> h, Matrix<U, space> y, Write write) const {
    with_weight(backend, panels,
                [&](Matrix<T const, space> w) { backend.linear(x, w, bias_, y, write); });
    auto column = Index{0};
    for (auto const& group : groups_) {
      auto const part = h.columns(column, group.a.rows());  // (n, targets rank)
      backend.template lora_project<T>(x, group.a, input(group, pass), pass.packing, part);
      auto const rank = group.b.columns();
      for (auto t = Index{0}; t < group.targets; ++t) {
        backend.template lora_expand<U>(part.columns(t * rank, rank),
                                        group.b.slice(t * out(), out()), group.scale,
                                        y.columns((group.first_target + t) * out(), out()));
      }
      column += group.a.rows();
    }
  }

  /// Gradients of A and B += from dy (n, stacked out) and what forward was given and saved;
  /// dx (n, in) = the input's gradient, left out when dx is empty. `dh` (n, hidden) is scratch.
  template <class U>
  void backward(B& backend, Pass<space> const& pass, Matrix<T const, space> x,
                Matrix<A const, space> h, Matrix<T const, space> dy, Vector<T, space> panels,
                Matrix<A, space> dh, Matrix<U, space> dx) const {
    if (dx.data() != nullptr) {
      with_weight(backend, panels, [&](Matrix<T const, space> w) {
        backend.linear_backward(dy, w, dx, Write::assign);
      });
    }
    auto column = Index{0};
    for (auto const& group : groups_) {
      auto const rank = group.b.columns();
      auto const part = dh.columns(column, group.a.rows());
      for (auto t = Index{0}; t < group.targets; ++t) {
        auto const dy_t = dy.columns((group.first_target + t) * out(), out());
        backend.template lora_expand_backward<T>(
            h.columns(column + t * rank, rank), group.b.slice(t * out(), out()), group.scale, dy_t,
            part.columns(t * rank, rank), group.db.slice(t * out(), out()));
      }
      backend.template lora_project_backward<T, U>(x, group.a, input(group, pass), pass.packing,
                                                   part, dx, group.da);
      column += group.a.rows();
    }
  }

 private:
  /// Calls `use(w)` with the stacked weights (stacked out, in).
  template <class Use>
  void with_weight(B& backend, Vector<T, space> panels, Use&& use) const {
    if constexpr (requires { weights_.front().template plain<T>(); }) {
      if (weights_.size() == 1) {
        if (auto const stored = weights_.front().template plain<T>()) return use(*stored);
      }
    }
    backend.expanded(weights_, panels, use);
  }
  static LoraInput input(LoraGroup<A, space> const& group, Pass<space> const& pass) {
    return {group.targets, group.first_site, pass.dropout};
  }

  std::vector<Weight> weights_;
  VectorTensor<A, space> bias_;
  std::vector<LoraGroup<A, space>> groups_;
};

}  // namespace qlora::inline v1::nn
