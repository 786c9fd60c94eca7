/// What the product policies share. A row's bits may depend neither on the number of rows in its
/// tile nor on its position in it nor on strides, yet libraries choose other paths for the last few
/// rows and for rows that lie apart: tiles are copied into dense ones without a remainder.
#pragma once

#include <algorithm>
#include <concepts>
#include <type_traits>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cpu/simd/kernels.hpp>
#include <qlora/core/memory.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::tile {

inline constexpr Index most_rows = 256;  ///< tokens of one product
/// Columns of a product that are widened to float at a time.
inline constexpr Index panel_columns = 256;

/// While it lives, libraries that ask OpenMP on this thread find one thread.
class [[maybe_unused]] OneThread {
 public:
  OneThread(OneThread const&) = delete;
  OneThread& operator=(OneThread const&) = delete;
#if defined(_OPENMP)
  OneThread() : threads_{omp_get_max_threads()} {
    omp_set_num_threads(1);
  }
  ~OneThread() {
    omp_set_num_threads(threads_);
  }

 private:
  int threads_;
#else
  OneThread() = default;
#endif
};

/// Purposes of a thread's scratch memory.
enum class Slot {
  padded_input,
  padded_output,
  wide_input,
  wide_weight,
  wide_output,
  dense_weight,
  loops
};

/// A (rows, columns) matrix of this thread, valid until the next call for the same slot; grows to
/// the largest request and stays.
template <class T>
Matrix<T> scratch(Slot slot, Index rows, Index columns) {
  thread_local Buffer<Space::host> buffers[7];
  auto& buffer = buffers[static_cast<int>(slot)];
  auto const bytes = static_cast<std::size_t>(rows * columns) * sizeof(T);
  if (buffer.bytes() < bytes) buffer = Buffer<Space::host>{bytes};
  return {reinterpret_cast<T*>(buffer.data()), {rows, columns}};
}

/// to = from, either of the same type or one of float and the other of bf16.
template <class From, class To>
void copy_rows(Matrix<From> from, Matrix<To> to) {
  for (auto i = Index{0}; i < from.rows(); ++i) {
    auto const source = from.row(i);
    auto* const target = to.row(i).data();
    if constexpr (std::same_as<std::remove_const_t<From>, To>) {
      std::copy_n(source.data(), source.size(), target);
    } else if constexpr (std::same_as<To, float>) {
      simd::kernels<bf16>().widen(source.data(), source.size(), target);
    } else {
      simd::kernels<bf16>().narrow(source.data(), source.size(), target);
    }
  }
}

/// Calls `product(x, y)` with dense operands, to which rows of zeros are added until their number
/// is a multiple of `row_multiple`.
template <class T, class U, class Product>
void with_whole_tile(Matrix<T const> x, Matrix<U> y, Write write, Index row_multiple,
                     Product&& product) {
  auto const rows = round_up(x.rows(), row_multiple);
  auto const pad = [](auto from, auto to) {
    copy_rows(from, to);
    std::fill(to.data() + from.rows() * from.columns(), to.data() + to.size(),
              convert<std::remove_pointer_t<decltype(to.data())>>(0.f));
  };
  auto whole_x = x;
  if (rows != x.rows() || !x.is_dense()) {
    auto const padded = scratch<T>(Slot::padded_input, rows, x.columns());
    pad(x, padded);
    whole_x = padded;
  }
  if (rows == y.rows() && y.is_dense()) {
    product(whole_x, y);
    return;
  }
  auto const whole_y = scratch<U>(Slot::padded_output, rows, y.columns());
  if (write == Write::accumulate) pad(y, whole_y);
  product(whole_x, whole_y);
  copy_rows(whole_y.slice(0, y.rows()), y);
}

/// A product of bf16 operands by way of float, rounded once, a panel of y's columns after the
/// other. `weight(first, count)` is what those columns need of the weight matrix, and
/// `product(x, w, first, y, write)` multiplies the widened operands.
template <class U, class Weight, class Product>
void by_panels(Matrix<bf16 const> x, Matrix<U> y, Write write, Weight&& weight, Product&& product) {
  auto const wide_x = scratch<float>(Slot::wide_input, x.rows(), x.columns());
  copy_rows(x, wide_x);
  for (auto first = Index{0}; first < y.columns(); first += panel_columns) {
    auto const count = std::min(panel_columns, y.columns() - first);
    auto const w = weight(first, count);
    auto const wide_w = scratch<float>(Slot::wide_weight, w.rows(), w.columns());
    copy_rows(w, wide_w);
    auto const panel = y.columns(first, count);
    if constexpr (std::same_as<U, float>) {
      product(Matrix<float const>{wide_x}, Matrix<float const>{wide_w}, first, panel, write);
    } else {
      auto const wide_y = scratch<float>(Slot::wide_output, y.rows(), count);
      if (write == Write::accumulate) copy_rows(panel, wide_y);
      product(Matrix<float const>{wide_x}, Matrix<float const>{wide_w}, first, wide_y, write);
      copy_rows(wide_y, panel);
    }
  }
}

/// `products.multiply_transposed` of bf16 operands, by way of float.
template <class Products, class U>
void widened_transposed(Products& products, Matrix<bf16 const> x, Matrix<bf16 const> w,
                        Vector<float const> bias, Matrix<U> y, Write write) {
  by_panels(
      x, y, write, [&](Index first, Index count) { return w.slice(first, count); },
      [&](auto wide_x, auto wide_w, Index first, Matrix<float> wide_y, Write mode) {
        auto const part = bias.data() == nullptr ? bias : bias.slice(first, wide_y.columns());
        products.multiply_transposed(wide_x, wide_w, part, wide_y, mode);
      });
}

/// `products.multiply` of bf16 operands, by way of float.
template <class Products, class U>
void widened(Products& products, Matrix<bf16 const> dy, Matrix<bf16 const> w, Matrix<U> dx,
             Write write) {
  by_panels(
      dy, dx, write, [&](Index first, Index count) { return w.columns(first, count); },
      [&](auto wide_dy, auto wide_w, Index, Matrix<float> wide_dx, Write mode) {
        products.multiply(wide_dy, wide_w, wide_dx, mode);
      });
}

}  // namespace qlora::inline v1::tile
