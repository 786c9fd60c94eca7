/// Layer normalisation over the features of a token (Ba, Kiros and Hinton, arXiv:1607.06450).
#pragma once

#include <cmath>

#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::reference {

/// y (d) = (x - mean) rstd gamma + beta; stats (2) = mean, rstd.
template <class A, class U>
void layer_norm_row(Vector<A const> x, Vector<A const> gamma, Vector<A const> beta, A epsilon,
                    Vector<U> y, Vector<A> stats) {
  auto const size = static_cast<A>(x.size());
  auto mean = A{0};
  for (auto const value : x) mean += value;
  mean /= size;
  auto variance = A{0};
  for (auto const value : x) variance += (value - mean) * (value - mean);
  auto const rstd = A{1} / std::sqrt(variance / size + epsilon);
  for (auto j = Index{0}; j < x.size(); ++j) {
    y[j] = convert<U>((x[j] - mean) * rstd * gamma[j] + beta[j]);
  }
  stats[0] = mean;
  stats[1] = rstd;
}

/// dx (d) += rstd (g - mean(g) - n mean(g n)) where n = (x - mean) rstd and g = dy gamma.
template <class A>
void layer_norm_backward_row(Vector<A const> dy, Vector<A const> x, Vector<A const> gamma,
                             Vector<A const> stats, Vector<A> dx) {
  auto const size = static_cast<A>(x.size());
  auto const mean = stats[0];
  auto const rstd = stats[1];
  auto sum = A{0};
  auto product = A{0};
  for (auto j = Index{0}; j < x.size(); ++j) {
    auto const g = dy[j] * gamma[j];
    sum += g;
    product += g * (x[j] - mean) * rstd;
  }
  for (auto j = Index{0}; j < x.size(); ++j) {
    auto const n = (x[j] - mean) * rstd;
    dx[j] += rstd * (dy[j] * gamma[j] - sum / size - n * product / size);
  }
}

}  // namespace qlora::inline v1::reference
