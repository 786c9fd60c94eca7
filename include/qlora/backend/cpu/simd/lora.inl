// The skinny products of LoRA, with the dropout in front of them.

// The low words of a and b multiplied to 64 bits; the upper ones are ignored.
QLORA_SIMD_INLINE Pairs multiply_low(Pairs a, Pairs b) {
#if defined(QLORA_SIMD_X86) && !defined(__clang__)
  auto const x = __builtin_bit_cast(Signed, a);
  auto const y = __builtin_bit_cast(Signed, b);
  using Result = long long __attribute__((vector_size(QLORA_SIMD_BYTES)));
#if QLORA_SIMD_BYTES == 64
  return __builtin_bit_cast(Pairs, __builtin_ia32_pmuludq512_mask(x, y, Result{}, 0xff));
#else
  return __builtin_bit_cast(Pairs, Result(__builtin_ia32_pmuludq256(x, y)));
#endif
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// Sixteen bits for each column of a row as dropout_block() has them: Philox4x32-10 with a block in
// each 64-bit lane, whose words are the lanes' lower halves. Writes whole vectors.
inline void dropout_row(Dropout const& dropout, std::uint32_t site, std::uint32_t sample,
                        std::uint32_t position, Index columns, std::uint16_t* bits) {
  constexpr auto lanes = width / 2;
  auto const octets = static_cast<std::uint32_t>((columns + 7) / 8);
  auto const lane = Pairs {
    0, 1,
#if QLORA_SIMD_BYTES >= 32
        2, 3,
#endif
#if QLORA_SIMD_BYTES == 64
        4, 5, 6, 7
#endif
  };
  for (auto octet = std::uint32_t{0}; octet < octets; octet += lanes) {
    auto c0 = lane + (position * octets + octet);
    auto c1 = Pairs{} + sample;
    auto c2 = Pairs{} + dropout.step;
    auto c3 = Pairs{} + site;
    auto k0 = static_cast<std::uint32_t>(dropout.seed);
    auto k1 = static_cast<std::uint32_t>(dropout.seed >> 32);
    for (auto round = 0; round < 10; ++round) {
      auto const p0 = multiply_low(c0, Pairs{} + 0xd2511f53u);
      auto const p1 = multiply_low(c2, Pairs{} + 0xcd9e8d57u);
      c0 = p1 >> 32 ^ c1 ^ k0;
      c1 = p1;
      c2 = p0 >> 32 ^ c3 ^ k1;
      c3 = p0;
      k0 += 0x9e3779b9u;
      k1 += 0xbb67ae85u;
    }
    auto const low = (c0 & 0xffffffffu) | c1 << 32;
    auto const high = (c2 & 0xffffffffu) | c3 << 32;
#if QLORA_SIMD_BYTES == 64
    auto const first = __builtin_shufflevector(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
    auto const second = __builtin_shufflevector(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
#elif QLORA_SIMD_BYTES == 32
    auto const first = __builtin_shufflevector(low, high, 0, 4, 1, 5);
    auto const second = __builtin_shufflevector(low, high, 2, 6, 3, 7);
#else
    auto const first = __builtin_shufflevector(low, high, 0, 2);
    auto const second = __builtin_shufflevector(low, high, 1, 3);
#endif
    auto* const out = reinterpret_cast<Unaligned<Pairs>*>(bits + std::size_t{octet} * 8);
    out[0].value = first;
    out[1].value = second;
  }
}

// Rows that are worked on at a time.
inline constexpr int lora_rows = 4;

// What a row's elements are multiplied with: 0 where dropout takes one, its scale elsewhere.
inline void dropout_factors(LoraTile const& tile, Index row, Index target, std::uint16_t* bits,
                            float* factors) {
  auto const columns = padded(tile.columns);
  if (!tile.dropout.active()) {
    for (auto c = Index{0}; c < columns; ++c) factors[c] = 1.f;
    return;
  }
  dropout_row(tile.dropout, tile.first_site + static_cast<std::uint32_t>(target), tile.samples[row],
              static_cast<std::uint32_t>(tile.positions[row]), tile.columns, bits);
  auto const threshold = tile.dropout.threshold();
  auto const scale = Floats{} + tile.dropout.scale();
  for (auto c = Index{0}; c < columns; c += width) {
    store(factors + c, load_halves(bits + c) >= threshold ? scale : Floats{});
  }
}

// out (i, r) = the scalar product of row i of x and row r of a, both `columns` long (padded).
template <int R, int C>
QLORA_SIMD_INLINE void dots(float const* x, float const* a, Index columns, float* out,
                            Index out_row) {
  Floats sums[R][C] = {};
  for (auto c = Index{0}; c < columns; c += width) {
#pragma GCC unroll 4
    for (auto i = 0; i < R; ++i) {
      auto const value = load(x + i * columns + c);
#pragma GCC unroll 4
      for (auto j = 0; j < C; ++j) sums[i][j] += value * load(a + j * columns + c);
    }
  }
#pragma GCC unroll 4
  for (auto i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (auto j = 0; j < C; ++j) out[i * out_row + j] = sum(sums[i][j]);
  }
}

template <int R>
inline void dots_of_rows(float const* x, float const* a, Index ranks, Index columns, float* out,
                         Index out_row) {
  auto r = Index{0};
  for (; r + 4 <= ranks; r += 4) dots<R, 4>(x, a + r * columns, columns, out + r, out_row);
  for (; r < ranks; ++r) dots<R, 1>(x, a + r * columns, columns, out + r, out_row);
}

template <int R, class T>
void lora_project_rows(LoraTile const& tile, Index first, Strided<T const> x, float const* a,
                       float* scratch, Strided<float> h) {
  auto const columns = padded(tile.columns);
  auto* const masked = scratch;  // (R, columns)
  auto* const bits = reinterpret_cast<std::uint16_t*>(masked + R * columns);
  for (auto target = Index{0}; target < tile.targets; ++target) {
    for (auto i = 0; i < R; ++i) {
      auto* const row = masked + i * columns;
      dropout_factors(tile, first + i, target, bits, row);
      for (auto c = Index{0}; c < columns; c += width) {
        auto const value =
            c < tile.columns ? load(x.row(first + i) + c, tile.columns - c) : Floats{};
        store(row + c, load(row + c) * value);
      }
    }
    dots_of_rows<R>(masked, a + target * tile.rank * columns, tile.rank, columns,
                    h.row(first) + target * tile.rank, h.stride);
  }
}

template <class T>
void lora_project(LoraTile const& tile, Strided<T const> x, Strided<float const> a, float* scratch,
                  Strided<float> h) {
  auto const columns = padded(tile.columns);
  auto* const a_rows = scratch;  // (ranks, columns)
  auto* const rest = a_rows + tile.ranks() * columns;
  pack(a, tile.ranks(), tile.columns, columns, a_rows);
  auto i = Index{0};
  for (; i + lora_rows <= tile.rows; i += lora_rows) {
    lora_project_rows<lora_rows>(tile, i, x, a_rows, rest, h);
  }
  for (; i < tile.rows; ++i) lora_project_rows<1>(tile, i, x, a_rows, rest, h);
}

template <int R, class T, class U>
void lora_project_backward_rows(LoraTile const& tile, Index first, Strided<T const> x,
                                float const* a, Strided<float const> dh, float* scratch,
                                Strided<U> dx, float* da) {
  auto const columns = padded(tile.columns);
  auto* const factors = scratch;  // (R, columns)
  auto* const bits = reinterpret_cast<std::uint16_t*>(factors + R * columns);
  for (auto target = Index{0}; target < tile.targets; ++target) {
    for (auto i = 0; i < R; ++i) {
      dropout_factors(tile, first + i, target, bits, factors + i * columns);
    }
    for (auto c = Index{0}; c < tile.columns; c += width) {
      auto const count = tile.columns - c;
      Floats masked[R];
      Floats gradients[R] = {};
#pragma GCC unroll 4
      for (auto i = 0; i < R; ++i) {
        masked[i] = load(factors + i * columns + c) * load(x.row(first + i) + c, count);
      }
      for (auto r = target * tile.rank; r < (target + 1) * tile.rank; ++r) {
        auto const weight = load(a + r * columns + c);
        auto sums = load(da + r * columns + c);
#pragma GCC unroll 4
        for (auto i = 0; i < R; ++i) {
          auto const upper = dh.row(first + i)[r];
          gradients[i] += upper * weight;
          sums += upper * masked[i];
        }
        store(da + r * columns + c, sums);
      }
      if (dx.data == nullptr) continue;
#pragma GCC unroll 4
      for (auto i = 0; i < R; ++i) {
        auto* const out = dx.row(first + i) + c;
        store(out, load(out, count) + load(factors + i * columns + c) * gradients[i], count);
      }
    }
  }
}

template <class T, class U>
void lora_project_backward(LoraTile const& tile, Strided<T const> x, Strided<float const> a,
                           Strided<float const> dh, float* scratch, Strided<U> dx,
                           Strided<float> da) {
  auto const columns = padded(tile.columns);
  auto* const a_rows = scratch;                        // (ranks, columns)
  auto* const sums = a_rows + tile.ranks() * columns;  // (ranks, columns)
  auto* const rest = sums + tile.ranks() * columns;
  pack(a, tile.ranks(), tile.columns, columns, a_rows);
  pack(Strided<float const>{da.data, da.stride}, tile.ranks(), tile.columns, columns, sums);
  auto i = Index{0};
  for (; i + lora_rows <= tile.rows; i += lora_rows) {
    lora_project_backward_rows<lora_rows>(tile, i, x, a_rows, dh, rest, dx, sums);
  }
  for (; i < tile.rows; ++i) lora_project_backward_rows<1>(tile, i, x, a_rows, dh, rest, dx, sums);
  unpack(sums, tile.ranks(), tile.columns, columns, da);
}

template <int R, class T>
void lora_expand_rows(ExpandTile const& tile, Index first, Strided<float const> h,
                      float const* b_transposed, Strided<T> y) {
  auto const columns = padded(tile.columns);
  for (auto c = Index{0}; c < tile.columns; c += width) {
    Floats sums[R] = {};
    for (auto r = Index{0}; r < tile.rank; ++r) {
      auto const weight = load(b_transposed + r * columns + c);
#pragma GCC unroll 4
      for (auto i = 0; i < R; ++i) sums[i] += h.row(first + i)[r] * weight;
    }
#pragma GCC unroll 4
    for (auto i = 0; i < R; ++i) {
      auto* const out = y.row(first + i) + c;
      store(out, load(out, tile.columns - c) + tile.scale * sums[i], tile.columns - c);
    }
  }
}

template <class T>
void lora_expand(ExpandTile const& tile, Strided<float const> h, Strided<float const> b,
                 float* scratch, Strided<T> y) {
  pack_transposed(b, tile.columns, tile.rank, padded(tile.columns), scratch);
  auto i = Index{0};
  for (; i + lora_rows <= tile.rows; i += lora_rows) {
    lora_expand_rows<lora_rows>(tile, i, h, scratch, y);
  }
  for (; i < tile.rows; ++i) lora_expand_rows<1>(tile, i, h, scratch, y);
}

template <int R, class T>
void lora_expand_backward_rows(ExpandTile const& tile, Index first, Strided<float const> h,
                               float const* b_transposed, Strided<T const> dy, float* gradients,
                               Strided<float> dh, float* db_transposed) {
  auto const columns = padded(tile.columns);
  for (auto i = 0; i < R; ++i) {
    for (auto c = Index{0}; c < columns; c += width) {
      auto const value =
          c < tile.columns ? load(dy.row(first + i) + c, tile.columns - c) : Floats{};
      store(gradients + i * columns + c, tile.scale * value);
    }
  }
  dots_of_rows<R>(gradients, b_transposed, tile.rank, columns, dh.row(first), dh.stride);
  for (auto c = Index{0}; c < columns; c += width) {
    Floats values[R];
#pragma GCC unroll 4
    for (auto i = 0; i < R; ++i) values[i] = load(gradients + i * columns + c);
    for (auto r = Index{0}; r < tile.rank; ++r) {
      auto sums = load(db_transposed + r * columns + c);
#pragma GCC unroll 4
      for (auto i = 0; i < R; ++i) sums += h.row(first + i)[r] * values[i];
      store(db_transposed + r * columns + c, sums);
    }
  }
}

template <class T>
void lora_expand_backward(ExpandTile const& tile, Strided<float const> h, Strided<float const> b,
                          Strided<T const> dy, float* scratch, Strided<float> dh,
                          Strided<float> db) {
  auto const columns = padded(tile.columns);
  auto* const b_transposed = scratch;                              // (rank, columns)
  auto* const db_transposed = b_transposed + tile.rank * columns;  // (rank, columns)
  auto* const gradients = db_transposed + tile.rank * columns;     // (lora_rows, columns)
  pack_transposed(b, tile.columns, tile.rank, columns, b_transposed);
  pack_transposed(Strided<float const>{db.data, db.stride}, tile.columns, tile.rank, columns,
                  db_transposed);
  auto i = Index{0};
  for (; i + lora_rows <= tile.rows; i += lora_rows) {
    lora_expand_backward_rows<lora_rows>(tile, i, h, b_transposed, dy, gradients, dh,
                                         db_transposed);
  }
  for (; i < tile.rows; ++i) {
    lora_expand_backward_rows<1>(tile, i, h, b_transposed, dy, gradients, dh, db_transposed);
  }
  for (auto c = Index{0}; c < tile.columns; ++c) {
    for (auto r = Index{0}; r < tile.rank; ++r) db.row(c)[r] = db_transposed[r * columns + c];
  }
}
