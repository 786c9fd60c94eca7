/// Products of device matrices, which lie on the heap under emulation: plain loops in cuBLASLt's
/// place.
#pragma once

#include <cstddef>
#include <cstring>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace emulation {

class Products {
  template <class T>
  using In = qlora::Matrix<T const, qlora::Space::device>;
  template <class T>
  using Out = qlora::Matrix<T, qlora::Space::device>;
  using Index = qlora::Index;

 public:
  template <class T, class U>
  void multiply_transposed(In<T> x, In<T> w, qlora::Vector<U const, qlora::Space::device> bias,
                           Out<U> y, qlora::Write write, std::byte* workspace,
                           qlora::cuda::Stream const& stream) {
    ask(x, w.data(), w.stride(), Index{1}, bias.data(), y, write, workspace, stream);
  }
  template <class T, class U>
  void multiply(In<T> dy, In<T> w, Out<U> dx, qlora::Write write, std::byte* workspace,
                qlora::cuda::Stream const& stream) {
    ask(dy, w.data(), Index{1}, w.stride(), static_cast<U const*>(nullptr), dx, write, workspace,
        stream);
  }
  static constexpr auto workspace_bytes = std::size_t{64};

 private:
  /// A product as a recording sees it.
  struct Call {
    void const *x, *w, *bias, *y;
    Index rows, columns, sum, write;
  };

  template <class T, class U>
  static void ask(In<T> x, T const* w, Index row, Index column, U const* bias, Out<U> y,
                  qlora::Write write, std::byte* workspace, qlora::cuda::Stream const& stream) {
    auto const call = Call{x.data(), w,           bias,        y.data(),
                           y.rows(), y.columns(), x.columns(), static_cast<Index>(write)};
    if (!stream.wants(call)) return;
    emulation::enqueue(*static_cast<cudaStream_t>(stream), [=] {
      std::memset(workspace, 0xff, workspace_bytes);
      run(x, w, row, column, bias, y, write);
    });
  }

  /// y (n, m) = or += x (n, k) w + bias, where element (k, j) of w lies at j row + k column.
  template <class T, class U>
  static void run(In<T> x, T const* w, Index row, Index column, U const* bias, Out<U> y,
                  qlora::Write write) {
    using A = qlora::Accumulate<T>;
    for (auto i = Index{0}; i < y.rows(); ++i) {
      for (auto j = Index{0}; j < y.columns(); ++j) {
        auto& out = y.data()[i * y.stride() + j];
        auto sum = bias == nullptr ? A{0} : qlora::convert<A>(bias[j]);
        if (write == qlora::Write::accumulate) sum += qlora::convert<A>(out);
        for (auto k = Index{0}; k < x.columns(); ++k) {
          sum += qlora::convert<A>(x.data()[i * x.stride() + k]) *
                 qlora::convert<A>(w[j * row + k * column]);
        }
        out = qlora::convert<U>(sum);
      }
    }
  }
};

}  // namespace emulation
