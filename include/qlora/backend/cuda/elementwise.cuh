/// Verbs that treat every element by itself.
#pragma once

#include <cstdint>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/pack.cuh>
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

/// In another type.
template <class To>
struct Round {
  template <class From>
  __device__ To operator()(From x) const {
    return convert<To>(x);
  }
};

template <class A>
struct Clear {
  __device__ A operator()() const { return A{0}; }
};

struct Add {
  template <class A>
  __device__ A operator()(A x, A y) const {
    return x + y;
  }
};

struct Gelu {
  template <class T>
  __device__ T operator()(T u) const {
    return convert<T>(formula::gelu(convert<Accumulate<T>>(u)));
  }
};

/// The gradient of u.
struct GeluBackward {
  template <class T>
  __device__ T operator()(T u, T dg) const {
    auto const slope = formula::gelu_slope(convert<Accumulate<T>>(u));
    return convert<T>(convert<Accumulate<T>>(dg) * slope);
  }
};

/// Rotates pairs of the halves of each head; `j` counts packs of pairs over all heads.
template <class T, int Count>
struct Rotate {
  using A = Accumulate<T>;
  Strided<T> x;
  std::int32_t const* positions;
  A const* cosines;  ///< (positions, half)
  A const* sines;
  int half;
  A scale;
  A sign;
  __device__ void operator()(Index i, Index j) const {
    auto const packs = half / Count;  // of half a head
    auto const head = static_cast<int>(j) / packs;
    auto const pack = static_cast<int>(j) - head * packs;
    auto const table = [&](A const* values) {
      return load_pack<Count>(Strided<A const>{values, half}, positions[i], pack);
    };
    auto const cosine = table(cosines);
    auto const sine = table(sines);
    auto first = load_pack<Count>(x, i, 2 * packs * head + pack);
    auto second = load_pack<Count>(x, i, 2 * packs * head + packs + pack);
    QLORA_UNROLL
    for (auto c = 0; c < Count; ++c) {
      auto const a = convert<A>(first.values[c]);
      auto const b = convert<A>(second.values[c]);
      auto const s = sign * sine.values[c];
      first.values[c] = convert<T>(scale * (a * cosine.values[c] - b * s));
      second.values[c] = convert<T>(scale * (b * cosine.values[c] + a * s));
    }
    store_pack(first, x, i, 2 * packs * head + pack);
    store_pack(second, x, i, 2 * packs * head + packs + pack);
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
