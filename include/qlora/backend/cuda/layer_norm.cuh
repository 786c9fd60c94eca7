/// Layer normalisation (Ba, Kiros and Hinton, arXiv:1607.06450), a warp for each token.
#pragma once

#include <cmath>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// y = (x - mean) rstd gamma + beta; stats (2) = mean, rstd.
template <class A, class U>
struct LayerNorm {
  Strided<A const> x;
  A const* gamma;
  A const* beta;
  A epsilon;
  Strided<U> y;
  Strided<A> stats;
  Index size;

  __device__ void operator()(Index row, int lane) const {
    auto const* const from = &x(row, 0);
    auto sum = A{0};
    for (auto j = Index{lane}; j < size; j += warp_size) sum += from[j];
    auto const mean = lanes_sum(sum) / static_cast<A>(size);
    auto squares = A{0};
    for (auto j = Index{lane}; j < size; j += warp_size) {
      squares += (from[j] - mean) * (from[j] - mean);
    }
    auto const variance = lanes_sum(squares) / static_cast<A>(size);
    auto const rstd = A{1} / std::sqrt(variance + epsilon);
    for (auto j = Index{lane}; j < size; j += warp_size) {
      y(row, j) = convert<U>((from[j] - mean) * rstd * gamma[j] + beta[j]);
    }
    if (lane == 0) {
      stats(row, 0) = mean;
      stats(row, 1) = rstd;
    }
  }
};

/// dx += rstd (g - mean(g) - n mean(g n)) where n = (x - mean) rstd and g = dy gamma.
template <class A>
struct LayerNormBackward {
  Strided<A const> dy, x;
  A const* gamma;
  Strided<A const> stats;
  Strided<A> dx;
  Index size;

  __device__ void operator()(Index row, int lane) const {
    auto const mean = stats(row, 0);
    auto const rstd = stats(row, 1);
    auto sum = A{0};
    auto product = A{0};
    for (auto j = Index{lane}; j < size; j += warp_size) {
      auto const g = dy(row, j) * gamma[j];
      sum += g;
      product += g * (x(row, j) - mean) * rstd;
    }
    auto const mean_g = lanes_sum(sum) / static_cast<A>(size);
    auto const mean_gn = lanes_sum(product) / static_cast<A>(size);
    for (auto j = Index{lane}; j < size; j += warp_size) {
      auto const n = (x(row, j) - mean) * rstd;
      dx(row, j) += rstd * (dy(row, j) * gamma[j] - mean_g - n * mean_gn);
    }
  }
};

}  // namespace qlora::inline v1::cuda
