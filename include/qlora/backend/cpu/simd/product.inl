// Small matrix products: c (rows, vectors of columns) = or += a b. Every element is one chain of
// additions in the order of `depth`, whatever the block that it is computed in.

// The operands of a product; a(i, k) is a[i * a_row + k * a_step]. An element is a float, or a word
// of two bf16 numbers, which are two steps of the depth.
template <class E>
struct ProductOperands {
  E const* a;
  Index a_row, a_step;
  E const* b;
  Index b_row;
  float* c;
  Index c_row;
};

QLORA_SIMD_INLINE Floats multiply_add(Floats sum, float a, Floats b) {
  return sum + a * b;
}

// Where a's rows are neighbours (`Near`), one address serves all of a block's.
template <int R, int C, bool Near, class E>
QLORA_SIMD_INLINE void product_block(Index depth, ProductOperands<E> const& o, Index row,
                                     Index column, Write write) {
  auto const a_row = Near ? Index{1} : o.a_row;
  auto const* a = o.a + row * a_row;
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
    decltype(load(b)) columns[C];
#pragma GCC unroll 4
    for (auto j = 0; j < C; ++j) columns[j] = load(b + j * width);
#pragma GCC unroll 16
    for (auto i = 0; i < R; ++i) {
      auto const value = a[i * a_row];
#pragma GCC unroll 4
      for (auto j = 0; j < C; ++j) sums[i][j] = multiply_add(sums[i][j], value, columns[j]);
    }
  }
#pragma GCC unroll 16
  for (auto i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (auto j = 0; j < C; ++j) store(c + i * o.c_row + j * width, sums[i][j]);
  }
}

template <int C, bool Near, class E>
inline void product_columns(Index rows, Index column, Index depth, ProductOperands<E> const& o,
                            Write write) {
  constexpr auto block = (QLORA_SIMD_BYTES == 64 ? 16 : 8) / C;  // sums enough to hide the latency
  constexpr auto few = block / 4;
  auto i = Index{0};
  for (; i + block <= rows; i += block) product_block<block, C, Near>(depth, o, i, column, write);
  for (; i + few <= rows; i += few) product_block<few, C, Near>(depth, o, i, column, write);
  for (; i < rows; ++i) product_block<1, C, Near>(depth, o, i, column, write);
}

template <bool Near, class E>
inline void product_rows(Index rows, Index columns, Index depth, ProductOperands<E> const& o,
                         Write write) {
  auto j = Index{0};
  for (; j + 2 * width <= columns; j += 2 * width) {
    product_columns<2, Near>(rows, j, depth, o, write);
  }
  if (j < columns) product_columns<1, Near>(rows, j, depth, o, write);
}

// `columns` is a multiple of `width`.
template <class E>
inline void product(Index rows, Index columns, Index depth, ProductOperands<E> const& o,
                    Write write) {
  if (o.a_row == 1) {
    product_rows<true>(rows, columns, depth, o, write);
  } else {
    product_rows<false>(rows, columns, depth, o, write);
  }
}
