/// Verbs that treat every element by itself.
#pragma once

#include <cstdint>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/formulas.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::cuda {

/// y = scale table[ids].
template <class A>
struct Embed {
  std::int32_t const* ids;
  A scale;
  Strided<A const> table;
  Strided<A> y;
  __device__ void operator()(Index i, Index j) const { y(i, j) = scale * table(ids[i], j); }
};

/// y = x rounded to y's type.
template <class From, class To>
struct Round {
  Strided<From const> x;
  Strided<To> y;
  __device__ void operator()(Index i, Index j) const { y(i, j) = convert<To>(x(i, j)); }
};

template <class A>
struct Clear {
  A* values;
  __device__ void operator()(Index, Index i) const { values[i] = A{0}; }
};

/// y += bias on every row.
template <class A>
struct AddBias {
  A const* bias;
  Strided<A> y;
  __device__ void operator()(Index i, Index j) const { y(i, j) += bias[j]; }
};

template <class T>
struct Gelu {
  Strided<T const> u;
  Strided<T> g;
  __device__ void operator()(Index i, Index j) const {
    g(i, j) = convert<T>(formula::gelu(convert<Accumulate<T>>(u(i, j))));
  }
};

/// du may be dg.
template <class T>
struct GeluBackward {
  Strided<T const> u, dg;
  Strided<T> du;
  __device__ void operator()(Index i, Index j) const {
    auto const slope = formula::gelu_slope(convert<Accumulate<T>>(u(i, j)));
    du(i, j) = convert<T>(convert<Accumulate<T>>(dg(i, j)) * slope);
  }
};

/// Rotates pairs of the halves of each head; `j` counts pairs over all heads.
template <class T>
struct Rotate {
  using A = Accumulate<T>;
  Strided<T> x;
  std::int32_t const* positions;
  A const* cosines;  ///< (positions, half)
  A const* sines;
  Index half;
  A scale;
  A sign;
  __device__ void operator()(Index i, Index j) const {
    auto const pair = j % half;
    auto* const first = &x(i, j / half * 2 * half + pair);
    auto* const second = first + half;
    auto const at = positions[i] * half + pair;
    auto const a = convert<A>(*first);
    auto const b = convert<A>(*second);
    auto const sine = sign * sines[at];
    *first = convert<T>(scale * (a * cosines[at] - b * sine));
    *second = convert<T>(scale * (b * cosines[at] + a * sine));
  }
};

template <class A>
struct UpdateAdamW {
  A* parameters;
  A const* gradients;
  A* first;
  A* second;
  formula::AdamW<A> const* step;
  __device__ void operator()(Index, Index i) const {
    if (step->finite) step->update(parameters[i], gradients[i], first[i], second[i]);
  }
};

/// What an update has in common for all elements, by one thread.
template <class A>
struct PrepareAdamW {
  AdamWStep options;
  StepNumbers const* numbers;
  formula::AdamW<A>* step;
  __device__ void operator()(Index, Index) const { *step = formula::AdamW<A>{options, *numbers}; }
};

struct BeginStep {
  StepNumbers* numbers;
  __device__ void operator()(Index, Index) const { numbers->loss = 0.; }
};

struct CountUpdate {
  StepNumbers* numbers;
  __device__ void operator()(Index, Index) const {
    if (numbers->finite()) numbers->updates += 1.;
  }
};

}  // namespace qlora::inline v1::cuda
