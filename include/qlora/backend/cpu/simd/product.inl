// Small matrix products: c (rows, vectors of columns) = or += a b. Every element is one chain of
// additions in the order of `depth`, whatever the block that it is computed in.

// The operands of a product; a(i, k) is a[i * a_row + k * a_step].
struct ProductOperands {
  float const* a;
  Index a_row, a_step;
  float const* b;
  Index b_row;
  float* c;
  Index c_row;
};

template <int R, int C>
QLORA_SIMD_INLINE void product_block(Index depth, ProductOperands const& o, Index row, Index column,
                                     Write write) {
  auto const* a = o.a + row * o.a_row;
  auto const* b = o.b + column;
  auto* const c = o.c + row * o.c_row + column;
  Floats sums[R][C];
#pragma GCC unroll 16
  for (auto i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (auto j = 0; j < C; ++j) {
      sums[i][j] = write == Write::assign ? Floats{} : load(c + i * o.c_row + j * width);
    }
  }
  for (auto k = Index{0}; k < depth; ++k, a += o.a_step, b += o.b_row) {
    Floats columns[C];
#pragma GCC unroll 4
    for (auto j = 0; j < C; ++j) columns[j] = load(b + j * width);
#pragma GCC unroll 16
    for (auto i = 0; i < R; ++i) {
      auto const value = a[i * o.a_row];
#pragma GCC unroll 4
      for (auto j = 0; j < C; ++j) sums[i][j] += value * columns[j];
    }
  }
#pragma GCC unroll 16
  for (auto i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (auto j = 0; j < C; ++j) store(c + i * o.c_row + j * width, sums[i][j]);
  }
}

template <int C>
inline void product_columns(Index rows, Index column, Index depth, ProductOperands const& o,
                            Write write) {
  constexpr auto block = QLORA_SIMD_BYTES == 64 ? 8 : 4;
  auto i = Index{0};
  for (; i + block <= rows; i += block) product_block<block, C>(depth, o, i, column, write);
  for (; i + 2 <= rows; i += 2) product_block<2, C>(depth, o, i, column, write);
  for (; i < rows; ++i) product_block<1, C>(depth, o, i, column, write);
}

// `columns` is a multiple of `width`.
inline void product(Index rows, Index columns, Index depth, ProductOperands const& o, Write write) {
  auto j = Index{0};
  for (; j + 2 * width <= columns; j += 2 * width) product_columns<2>(rows, j, depth, o, write);
  if (j < columns) product_columns<1>(rows, j, depth, o, write);
}
