/// What is computed for one element, on the host and on the device alike.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include <qlora/backend/concepts.hpp>
#include <qlora/core/host_device.hpp>

namespace qlora::inline v1::formula {

// ---- the Gaussian error linear unit in its erf form (Hendrycks and Gimpel, arXiv:1606.08415),
// which ESM-2 was trained with; the tanh approximation is another function

template <class A>
QLORA_HOST_DEVICE A normal_cdf(A u) {
  return (A{1} + std::erf(u / std::numbers::sqrt2_v<A>)) / A{2};
}

template <class A>
QLORA_HOST_DEVICE A normal_density(A u) {
  return std::exp(-u * u / A{2}) * std::numbers::inv_sqrtpi_v<A> / std::numbers::sqrt2_v<A>;
}

template <class A>
QLORA_HOST_DEVICE A gelu(A u) {
  return u * normal_cdf(u);
}

/// Derivative of gelu.
template <class A>
QLORA_HOST_DEVICE A gelu_slope(A u) {
  return normal_cdf(u) + u * normal_density(u);
}

// ---- the loss

/// Negative log-likelihood of a label, and its derivative with respect to the logit of class 1;
/// that of class 0 is its negative.
struct Likelihood {
  double loss;
  double gradient;
};

/// Of two classes whose logits differ by `margin`.
QLORA_HOST_DEVICE inline Likelihood cross_entropy(double margin, std::int32_t label) {
  auto const signed_margin = label == 1 ? margin : -margin;
  auto const below = signed_margin < 0. ? -signed_margin : 0.;
  // log(1 + exp(-m)) without overflow on either side
  return {below + std::log1p(std::exp(-std::fabs(margin))),
          1. / (1. + std::exp(-margin)) - (label == 1 ? 1. : 0.)};
}

// ---- the optimizer

/// One update of AdamW, with everything that is the same for all elements computed beforehand.
/// `numbers` count it already.
template <class A>
struct AdamW {
  QLORA_HOST_DEVICE AdamW(AdamWStep const& options, StepNumbers const& numbers)
      : finite{numbers.finite()},
        scale{static_cast<A>(clip_factor(options.clip, numbers.squared_norm))},
        beta1{static_cast<A>(options.beta1)},
        beta2{static_cast<A>(options.beta2)},
        decay{static_cast<A>(1. - options.learning_rate * options.weight_decay)},
        epsilon{static_cast<A>(options.epsilon)} {
    auto const updates = numbers.updates;
    rate = static_cast<A>(options.learning_rate / (1. - std::pow(options.beta1, updates)));
    correction = static_cast<A>(std::sqrt(1. - std::pow(options.beta2, updates)));
  }

  /// What gradients are multiplied by, so that their norm is at most `clip`.
  QLORA_HOST_DEVICE static double clip_factor(double clip, double squared_norm) {
    if (!(clip > 0.)) return 1.;
    auto const factor = clip / (std::sqrt(squared_norm) + 1e-6);
    return factor < 1. ? factor : 1.;
  }

  QLORA_HOST_DEVICE void update(A& parameter, A gradient, A& first, A& second) const {
    gradient *= scale;
    first += (A{1} - beta1) * (gradient - first);
    second = beta2 * second + (A{1} - beta2) * gradient * gradient;
    parameter = decay * parameter - rate * first / (std::sqrt(second) / correction + epsilon);
  }

  bool finite;  ///< else nothing is to be updated
  A scale, beta1, beta2, decay, epsilon, rate{}, correction{};
};

}  // namespace qlora::inline v1::formula
