/// Self-attention over packed sequences. Nothing of size length x length is stored; the backward
/// pass computes probabilities again from the log-sum-exp, once for the gradient of queries and
/// once for those of keys and values, so that no sum needs atomics.
#pragma once

#include <concepts>
#include <type_traits>

#include <qlora/backend/cuda/attention_fma.cuh>
#include <qlora/backend/cuda/attention_problem.cuh>
#include <qlora/backend/cuda/attention_tensor.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// The library's own attention: on tensor cores in bf16, exact in float and double.
struct OwnAttention {
  template <class T>
  static void forward(AttentionForward<T> const& problem, Stream const& stream) {
    Kernels<T>::forward(problem, stream);
  }
  template <class T>
  static void backward(AttentionBackward<T> const& problem, Stream const& stream) {
    attention_delta(problem, stream);
    Kernels<T>::backward(problem, stream);
  }

 private:
  template <class T>
  using Kernels = std::conditional_t<std::same_as<T, bf16>, TensorAttention, FmaAttention>;
};

}  // namespace qlora::inline v1::cuda
