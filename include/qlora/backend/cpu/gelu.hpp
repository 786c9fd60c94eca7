/// The Gaussian error linear unit, a row at a time.
#pragma once

#include <qlora/backend/formulas.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::reference {

/// g = u Phi(u).
template <class T>
void gelu_row(Vector<T const> u, Vector<T> g) {
  for (auto j = Index{0}; j < u.size(); ++j) {
    g[j] = convert<T>(formula::gelu(convert<Accumulate<T>>(u[j])));
  }
}

/// du = dg (Phi(u) + u phi(u)); du may be dg's storage.
template <class T>
void gelu_backward_row(Vector<T const> u, Vector<T const> dg, Vector<T> du) {
  for (auto j = Index{0}; j < u.size(); ++j) {
    auto const slope = formula::gelu_slope(convert<Accumulate<T>>(u[j]));
    du[j] = convert<T>(convert<Accumulate<T>>(dg[j]) * slope);
  }
}

}  // namespace qlora::inline v1::reference
