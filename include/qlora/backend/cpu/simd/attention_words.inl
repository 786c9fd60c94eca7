// Attention of one sequence and head on words of two bf16 numbers, of which products are summed in
// float: what does not depend on how they are multiplied. Operands of all products are bf16, the
// softmax's weights and the gradients of scores too; whatever is summed is float.

using Octet = std::uint32_t __attribute__((vector_size(32)));

// Eight words from `p` on, of which those behind `end` are zero.
QLORA_SIMD_INLINE Octet load_words(bf16 const* p, bf16 const* end) {
  if (end - p >= 16) return reinterpret_cast<Unaligned<Octet> const*>(p)->value;
  auto words = Octet{};
  __builtin_memcpy(&words, p, static_cast<std::size_t>(end - p) * sizeof(bf16));
  return words;
}

// out (words, stride) = words of neighbours in x's rows, transposed; zero from row `rows` to `all`,
// which is rounded up to a multiple of 16.
inline void pack_words(Strided<bf16 const> x, Index rows, Index features, Index all, Index stride,
                       std::uint32_t* out) {
  auto const words = words_of(features);
  auto const* const end = x.row(rows - 1) + features;
  for (auto j = Index{0}; j < all; j += width) {
    for (auto c = Index{0}; c < words; c += 8) {
      Words v[8];  // beyond the last feature whatever is there
#pragma GCC unroll 8
      for (auto i = 0; i < 8; ++i) {
        auto const low = j + i < rows ? load_words(x.row(j + i) + 2 * c, end) : Octet{};
        auto const high = j + i + 8 < rows ? load_words(x.row(j + i + 8) + 2 * c, end) : Octet{};
        v[i] = Words(__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                             13, 14, 15));
      }
      transpose<4>(v);  // vector i: word i of all 16 rows
      auto const some = words - c < 8 ? words - c : 8;
      if (features % 2 != 0 && c + some == words) v[some - 1] &= 0xffffu;
      for (auto i = Index{0}; i < some; ++i) store(out + (c + i) * stride + j, v[i]);
    }
  }
}

// The first `features` of a row, or zeros where there is no such row, as words of which the upper
// halves count.
QLORA_SIMD_INLINE Words upper_halves(Strided<bf16 const> x, Index rows, Index row, Index first,
                                     Index features) {
  if (row >= rows || first >= features) return Words{};
  return __builtin_bit_cast(Words, load(x.row(row) + first, features - first));
}

// out (pairs, stride): words of two neighbouring rows, zero beyond the last row and feature.
inline void pack_row_pairs(Strided<bf16 const> x, Index rows, Index features, Index pairs,
                           Index stride, std::uint32_t* out) {
  for (auto i = Index{0}; i < pairs; ++i) {
    for (auto c = Index{0}; c < stride; c += width) {
      store(out + i * stride + c, upper_halves(x, rows, 2 * i, c, features) >> 16 |
                                      upper_halves(x, rows, 2 * i + 1, c, features));
    }
  }
}

// out (rows, features) = x (features, stride)^T, rounded.
inline void unpack_transposed(float const* x, Index rows, Index features, Index stride,
                              Strided<bf16> out) {
  for (auto j = Index{0}; j < rows; j += width) {
    for (auto c = Index{0}; c < features; c += 16) {
      Words v[8];
#pragma GCC unroll 8
      for (auto i = Index{0}; i < 8; ++i) {
        auto const* const low = x + (c + 2 * i) * stride + j;
        auto const left = features - c - 2 * i;
        v[i] = paired(left > 0 ? load(low) : Floats{}, left > 1 ? load(low + stride) : Floats{});
      }
      transpose<4>(v);  // vector i: eight words of row i, and eight of row i + 8
      auto const some = features - c < 16 ? features - c : 16;
      auto const count = rows - j < width ? rows - j : width;
      for (auto l = Index{0}; l < count; ++l) {
        auto const* const words = reinterpret_cast<std::uint32_t const*>(v + l % 8) + l / 8 * 8;
        __builtin_memcpy(static_cast<void*>(out.row(j + l) + c), words,
                         static_cast<std::size_t>(some) * sizeof(bf16));
      }
    }
  }
}

// scores (rows, stride): exponentials of them take their place, as words of
// two neighbours, half as long; totals (rows) is what they sum to, and lse (rows) its logarithm.
inline void softmax_weights(float* scores, Index rows, Index length, Index keys, Index stride,
                            float* totals, float* lse) {
  float maxima[query_block];
  for (auto i = Index{0}; i < rows; ++i) {
    auto* const row = scores + i * stride;
    hide_padding(row, length, keys);
    Floats most[2] = {load(row), load(row + width)};
    for (auto j = 2 * width; j < keys; j += 2 * width) {
      auto const low = load(row + j), high = load(row + j + width);
      most[0] = low > most[0] ? low : most[0];
      most[1] = high > most[1] ? high : most[1];
    }
    maxima[i] = largest(most[0] > most[1] ? most[0] : most[1]);
    auto const offset = maxima[i] * log2_e;
    Floats total[2] = {};
    for (auto j = Index{0}; j < keys; j += 2 * width) {
      auto const low = exp2(load(row + j) * log2_e - offset);
      auto const high = exp2(load(row + j + width) * log2_e - offset);
      total[0] += low;
      total[1] += high;
      store(reinterpret_cast<std::uint32_t*>(row) + j / 2, narrowed(low, high));
    }
    totals[i] = sum(total[0] + total[1]);
  }
  for (auto i = Index{0}; i < rows; ++i) lse[i] = maxima[i] + __builtin_logf(totals[i]);
}

// out (rows, head_dim) = sums (rows, features), each row divided by its total.
inline void divide(float const* sums, Index rows, Index head_dim, Index features,
                   float const* totals, Strided<bf16> out) {
  for (auto i = Index{0}; i < rows; ++i) {
    auto const inverse = 1.f / totals[i];
    for (auto c = Index{0}; c < head_dim; c += width) {
      store(out.row(i) + c, load(sums + i * features + c) * inverse, head_dim - c);
    }
  }
}

// What gradients of scores need of each query: offsets (all) is the logarithm of a row's sum to
// base 2, and delta (all) the product of its output with that output's gradient. From row `rows` on
// there are no queries, and their weight is zero.
inline void row_terms(Strided<bf16 const> out, Strided<bf16 const> dout, float const* lse,
                      Index rows, Index head_dim, Index all, float* offsets, float* delta) {
  for (auto i = Index{0}; i < rows; ++i) {
    auto products = Floats{};
    for (auto c = Index{0}; c < head_dim; c += width) {
      products += load(dout.row(i) + c, head_dim - c) * load(out.row(i) + c, head_dim - c);
    }
    delta[i] = sum(products);
    offsets[i] = lse[i] * log2_e;
  }
  for (auto i = rows; i < all; ++i) {
    delta[i] = 0.f;
    offsets[i] = 1e30f;
  }
}

// How weights p and gradients of scores ds come from scores, and where they go.
struct ScoreTargets {
  float const *offsets, *delta;       // (rows), of `row_terms`
  Index length;                       // keys beyond it have no weight
  std::uint32_t *p_pairs, *ds_pairs;  // (rows / 2, stride): words of two queries
  Index stride;
  std::uint32_t* ds_rows;  // (rows, ds_stride): words of two keys
  Index ds_stride;
};

// Four queries from `i` with two vectors of keys from `j`: of scores p and of the products of
// gradients with values, ds, makes weights and gradients of scores, and puts them where they go.
QLORA_SIMD_INLINE void finish_scores(ScoreTargets const& t, Index i, Index j, Floats (&p)[4][2],
                                     Floats (&ds)[4][2]) {
#pragma GCC unroll 4
  for (auto r = 0; r < 4; ++r) {
#pragma GCC unroll 2
    for (auto h = 0; h < 2; ++h) {
      auto const weight = exp2(p[r][h] * log2_e - t.offsets[i + r]);
      auto const left =
          static_cast<std::uint32_t>(t.length - j < 2 * width ? t.length - j : 2 * width);
      p[r][h] = lanes() + static_cast<std::uint32_t>(h * width) < left ? weight : Floats{};
      ds[r][h] = p[r][h] * (ds[r][h] - t.delta[i + r]);
    }
    store(t.ds_rows + (i + r) * t.ds_stride + j / 2, narrowed(ds[r][0], ds[r][1]));
  }
#pragma GCC unroll 2
  for (auto r = 0; r < 4; r += 2) {
#pragma GCC unroll 2
    for (auto h = 0; h < 2; ++h) {
      auto const place = (i + r) / 2 * t.stride + j + h * width;
      store(t.p_pairs + place, paired(p[r][h], p[r + 1][h]));
      store(t.ds_pairs + place, paired(ds[r][h], ds[r + 1][h]));
    }
  }
}
