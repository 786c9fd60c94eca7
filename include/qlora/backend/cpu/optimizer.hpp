/// The loss at the top of the backward pass and the optimizer at its end.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <qlora/backend/concepts.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::reference {

/// Weighted negative log-likelihood of one token, not normalised; dlogits (2) = its gradient times
/// `scale`.
template <class A>
double cross_entropy_row(Vector<A const> logits, std::int32_t label, double weight, double scale,
                         Vector<A> dlogits) {
  auto const margin = static_cast<double>(logits[1]) - static_cast<double>(logits[0]);
  auto const signed_margin = label == 1 ? margin : -margin;
  // log(1 + exp(-m)) without overflow on either side
  auto const loss = std::max(-signed_margin, 0.) + std::log1p(std::exp(-std::abs(signed_margin)));
  auto const probability = 1. / (1. + std::exp(-margin));
  auto const gradient = weight * scale * (probability - (label == 1 ? 1. : 0.));
  dlogits[0] = static_cast<A>(-gradient);
  dlogits[1] = static_cast<A>(gradient);
  return weight * loss;
}

/// One AdamW update of parameters of a common weight decay.
template <class A>
void adamw(Vector<A> parameters, Vector<A const> gradients, Vector<A> first, Vector<A> second,
           AdamWStep const& options) {
  auto const steps = static_cast<double>(options.step);
  auto const first_correction = 1. - std::pow(options.beta1, steps);
  auto const second_correction = std::sqrt(1. - std::pow(options.beta2, steps));
  auto const decay = static_cast<A>(1. - options.learning_rate * options.weight_decay);
  auto const rate = static_cast<A>(options.learning_rate / first_correction);
  auto const beta1 = static_cast<A>(options.beta1);
  auto const beta2 = static_cast<A>(options.beta2);
  for (auto i = Index{0}; i < parameters.size(); ++i) {
    auto const gradient = gradients[i] * static_cast<A>(options.gradient_scale);
    first[i] += (A{1} - beta1) * (gradient - first[i]);
    second[i] = beta2 * second[i] + (A{1} - beta2) * gradient * gradient;
    auto const denominator =
        std::sqrt(second[i]) / static_cast<A>(second_correction) + static_cast<A>(options.epsilon);
    parameters[i] = decay * parameters[i] - rate * first[i] / denominator;
  }
}

}  // namespace qlora::inline v1::reference
