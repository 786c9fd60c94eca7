/// Matrix products by Eigen: the policy that needs nothing but headers. Its speed is decided by
/// the instruction set of the compiler's options.
#pragma once

#include <algorithm>
#include <functional>
#include <type_traits>

#include <Eigen/Core>

#include <qlora/backend/cpu/tile.hpp>

namespace qlora::inline v1 {

/// Products of one tile of rows on the calling thread. The bits of a row depend neither on the
/// number of rows nor on its place among them. bf16 operands are multiplied in float.
struct EigenProducts {
  /// Tiles of other heights are filled up to a multiple of it.
  template <class T>
  static constexpr Index row_multiple() {
    return 16;
  }

  /// y (m, out) = or += x (m, in) w (out, in)^T + bias (out); no bias when it has no data.
  template <class T, class U>
  void multiply_transposed(Matrix<T const> x, Matrix<T const> w, Vector<Accumulate<T> const> bias,
                           Matrix<U> y, Write write) {
    if constexpr (std::same_as<T, bf16>) {
      tile::widened_transposed(*this, x, w, bias, y, write);
    } else {
      tile::with_whole_tile(x, y, write, row_multiple<T>(), [&](auto whole_x, auto whole_y) {
        begin(bias, whole_y, write);
        [[maybe_unused]] auto const one_thread = tile::OneThread{};
        add_product(map(whole_x), map(w).transpose(), map(whole_y));
      });
    }
  }

  /// dx (m, in) = or += dy (m, out) w (out, in).
  template <class T, class U>
  void multiply(Matrix<T const> dy, Matrix<T const> w, Matrix<U> dx, Write write) {
    if constexpr (std::same_as<T, bf16>) {
      tile::widened(*this, dy, w, dx, write);
    } else {
      tile::with_whole_tile(dy, dx, write, row_multiple<T>(), [&](auto whole_dy, auto whole_dx) {
        begin(Vector<T const>{}, whole_dx, write);
        [[maybe_unused]] auto const one_thread = tile::OneThread{};
        add_product(map(whole_dy), map(w), map(whole_dx));
      });
    }
  }

 private:
  /// Of the pieces of a product, whose operands Eigen copies: into its stack as long as they take
  /// no more than 128 KiB each, into memory from the heap beyond.
  static constexpr Index piece_depth = 256;
  template <class T>
  static constexpr Index piece_side = (Index{128} << 10) / (piece_depth * Index{sizeof(T)});

  /// y += x w.
  template <class X, class W, class Y>
  static void add_product(X const& x, W const& w, Y y) {
    constexpr auto side = piece_side<typename Y::Scalar>;
    for (auto k = Index{0}; k < x.cols(); k += piece_depth) {
      auto const depth = std::min(piece_depth, x.cols() - k);
      for (auto i = Index{0}; i < y.rows(); i += side) {
        auto const rows = std::min(side, y.rows() - i);
        for (auto j = Index{0}; j < y.cols(); j += side) {
          auto const columns = std::min(side, y.cols() - j);
          y.block(i, j, rows, columns).noalias() +=
              x.block(i, k, rows, depth) * w.block(k, j, depth, columns);
        }
      }
    }
  }

  template <class T>
  static auto map(Matrix<T> matrix) {
    using Dense =
        Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Mapped = std::conditional_t<std::is_const_v<T>, Dense const, Dense>;
    return Eigen::Map<Mapped, Eigen::Unaligned, Eigen::OuterStride<>>{
        matrix.data(), matrix.rows(), matrix.columns(), Eigen::OuterStride<>{matrix.stride()}};
  }

  /// What the product is added to.
  template <class T>
  static void begin(Vector<T const> bias, Matrix<T> y, Write write) {
    for (auto i = Index{0}; i < y.rows(); ++i) {
      auto const row = y.row(i);
      if (write == Write::assign) std::fill(row.begin(), row.end(), T{0});
      if (bias.data() == nullptr) continue;
      std::transform(row.begin(), row.end(), bias.begin(), row.begin(), std::plus<>{});
    }
  }
};

}  // namespace qlora::inline v1
