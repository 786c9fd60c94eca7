/// The Gaussian error linear unit in its erf form (Hendrycks and Gimpel, arXiv:1606.08415), which
/// ESM-2 was trained with; the tanh approximation is another function.
#pragma once

#include <cmath>
#include <numbers>

#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::reference {

template <class A>
A normal_cdf(A u) {
  return (A{1} + std::erf(u / std::numbers::sqrt2_v<A>)) / A{2};
}

template <class A>
A normal_density(A u) {
  return std::exp(-u * u / A{2}) * std::numbers::inv_sqrtpi_v<A> / std::numbers::sqrt2_v<A>;
}

/// g = u Phi(u).
template <class T>
void gelu_row(Vector<T const> u, Vector<T> g) {
  for (auto j = Index{0}; j < u.size(); ++j) {
    auto const value = convert<Accumulate<T>>(u[j]);
    g[j] = convert<T>(value * normal_cdf(value));
  }
}

/// du = dg (Phi(u) + u phi(u)); du may be dg's storage.
template <class T>
void gelu_backward_row(Vector<T const> u, Vector<T const> dg, Vector<T> du) {
  for (auto j = Index{0}; j < u.size(); ++j) {
    auto const value = convert<Accumulate<T>>(u[j]);
    auto const slope = normal_cdf(value) + value * normal_density(value);
    du[j] = convert<T>(convert<Accumulate<T>>(dg[j]) * slope);
  }
}

}  // namespace qlora::inline v1::reference
