/// The CUDA backend: so far the verbs that expand a frozen weight and multiply by it. Work is
/// queued on one stream in the order of the calls; whoever reads results on the host waits for it
/// first.
#pragma once

#include <concepts>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cuda/cublaslt.cuh>
#include <qlora/backend/cuda/dequantize.cuh>
#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/round.cuh>
#include <qlora/backend/cuda/runtime.cuh>

namespace qlora::inline v1::backend {

/// `T` is what activations are stored and multiplied in.
template <ComputeType T = float>
class Cuda {
 public:
  using Compute = T;
  using Accumulator = Accumulate<T>;
  using A = Accumulator;
  static constexpr Space space = Space::device;

  /// Throws SystemError where there is no device.
  Cuda() = default;

  cuda::Stream const& stream() const { return stream_; }

  /// y (out, in) = the weight, to the same bits as on the host.
  template <class Weight>
  void dequantize(Weight const& weight, Matrix<T, space> y) {
    cuda::dequantize(weight, y, stream_);
  }

  /// y (n, out) = or += x (n, in) w (out, in)^T + bias (out). Where y is bf16, the bias is rounded
  /// to bf16 before it is added in float, as cuBLASLt wants it to be of y's type.
  template <class U>
  void linear(Matrix<T const, space> x, Matrix<T const, space> w, Vector<A const, space> bias,
              Matrix<U, space> y, Write write) {
    expect_shape(w, {y.columns(), x.columns()}, "linear: weight");
    expect_shape(y, {x.rows(), w.rows()}, "linear: output");
    if (bias.data() != nullptr) expect_shape(bias, {w.rows()}, "linear: bias");
    products_.multiply_transposed(x, w, of_type<U>(bias), y, write, stream_);
  }

 private:
  static cuda::Stream open() {
    cuda::require_device();
    return cuda::Stream{};
  }

  template <class U>
  Vector<U const, space> of_type(Vector<A const, space> bias) {
    if constexpr (std::same_as<U, A>) {
      return bias;
    } else {
      if (bias.data() == nullptr) return {};
      if (bias_.size() < bias.size()) bias_ = VectorTensor<U, space>{{bias.size()}};
      auto const rounded = bias_.view().slice(0, bias.size());
      cuda::round(bias, rounded, stream_);
      return rounded;
    }
  }

  cuda::Stream stream_ = open();
  cuda::CublasLt products_;
  VectorTensor<T, space> bias_;
};

}  // namespace qlora::inline v1::backend
