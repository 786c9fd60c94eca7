/// The loss at the top of the backward pass and the optimizer at its end.
#pragma once

#include <cstdint>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/formulas.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::reference {

/// Weighted negative log-likelihood of one token, not normalised; dlogits (2) = its gradient times
/// `scale`.
template <class A>
double cross_entropy_row(Vector<A const> logits, std::int32_t label, double weight, double scale,
                         Vector<A> dlogits) {
  auto const margin = static_cast<double>(logits[1]) - static_cast<double>(logits[0]);
  auto const likelihood = formula::cross_entropy(margin, label);
  auto const gradient = weight * scale * likelihood.gradient;
  dlogits[0] = static_cast<A>(-gradient);
  dlogits[1] = static_cast<A>(gradient);
  return weight * likelihood.loss;
}

/// One AdamW update of parameters of a common weight decay.
template <class A>
void adamw(Vector<A> parameters, Vector<A const> gradients, Vector<A> first, Vector<A> second,
           formula::AdamW<A> const& step) {
  for (auto i = Index{0}; i < parameters.size(); ++i) {
    step.update(parameters[i], gradients[i], first[i], second[i]);
  }
}

}  // namespace qlora::inline v1::reference
