// Attention of one sequence and head on words of two bf16 numbers, for processors that multiply
// such words and add up in float. Operands of all products are bf16, the softmax's weights and the
// gradients of scores too; whatever is summed is float.

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

inline void attention(Strided<bf16 const> q, Strided<bf16 const> k, Strided<bf16 const> v,
                      Index length, Index head_dim, float* scratch, Strided<bf16> out, float* lse) {
  auto const stride = padded_keys(length);
  auto const keys = stride - row_multiple;
  auto const words = words_of(head_dim);
  auto const features = padded(head_dim);
  auto* const k_words = reinterpret_cast<std::uint32_t*>(scratch);  // (words, stride)
  auto* const v_pairs = k_words + words * stride;                   // (keys / 2, features)
  auto* const queries = v_pairs + keys / 2 * features;              // (words, query_block)
  auto* const sums = reinterpret_cast<float*>(queries + query_block * words);  // (block, features)
  auto* const scores = sums + query_block * features;                          // (block, stride)
  // Weights take the place of scores, half as long.
  auto const* const weights = reinterpret_cast<std::uint32_t const*>(scores);
  pack_words(k, length, head_dim, keys, stride, k_words);
  pack_row_pairs(v, length, head_dim, keys / 2, features, v_pairs);
  for (auto first = Index{0}; first < length; first += query_block) {
    auto const rows = length - first < query_block ? length - first : query_block;
    pack_words(Strided<bf16 const>{q.row(first), q.stride}, rows, head_dim, rows, query_block,
               queries);
    product(
        rows, keys, words,
        ProductOperands<std::uint32_t>{queries, 1, query_block, k_words, stride, scores, stride},
        Write::assign);
    float maxima[query_block], totals[query_block];
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
    for (auto i = Index{0}; i < rows; ++i) lse[first + i] = maxima[i] + __builtin_logf(totals[i]);
    product(rows, features, keys / 2,
            ProductOperands<std::uint32_t>{weights, stride, 1, v_pairs, features, sums, features},
            Write::assign);
    for (auto i = Index{0}; i < rows; ++i) {
      auto const inverse = 1.f / totals[i];
      for (auto c = Index{0}; c < head_dim; c += width) {
        store(out.row(first + i) + c, load(sums + i * features + c) * inverse, head_dim - c);
      }
    }
  }
}

// What a tile of scores is made of, and where their weights p and gradients ds go.
struct ScoreTile {
  std::uint32_t const *queries, *gradients;  // (words, query_block)
  std::uint32_t const *k_words, *v_words;    // (words, stride)
  float const *offsets, *delta;              // (rows): the logarithm of a row's sum, to base 2
  Index words, stride, length;
  std::uint32_t *p_pairs, *ds_pairs;  // (rows / 2, stride)
  std::uint32_t* ds_rows;             // (rows, ds_stride)
  Index ds_stride;
};

// Four queries from `i` with two vectors of keys from `j`: scores are not written as floats.
QLORA_SIMD_INLINE void score_tile(ScoreTile const& t, Index i, Index j) {
  Floats p[4][2] = {}, ds[4][2] = {};
  for (auto c = Index{0}; c < t.words; ++c) {
    auto const *const k = t.k_words + c * t.stride + j, *const v = t.v_words + c * t.stride + j;
    auto const* const queries = t.queries + c * query_block + i;
    auto const* const gradients = t.gradients + c * query_block + i;
    Words const keys[2] = {load(k), load(k + width)};
    Words const values[2] = {load(v), load(v + width)};
#pragma GCC unroll 4
    for (auto r = 0; r < 4; ++r) {
#pragma GCC unroll 2
      for (auto h = 0; h < 2; ++h) {
        p[r][h] = multiply_add(p[r][h], queries[r], keys[h]);
        ds[r][h] = multiply_add(ds[r][h], gradients[r], values[h]);
      }
    }
  }
#pragma GCC unroll 4
  for (auto r = 0; r < 4; ++r) {
#pragma GCC unroll 2
    for (auto h = 0; h < 2; ++h) {
      auto const weight = exp2(p[r][h] * log2_e - t.offsets[i + r]);
      auto const left = static_cast<std::uint32_t>(t.length - j < 2 * width ? t.length - j : 32);
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

inline void attention_backward(Strided<bf16 const> q, Strided<bf16 const> k, Strided<bf16 const> v,
                               Strided<bf16 const> out, Strided<bf16 const> dout, float const* lse,
                               Index length, Index head_dim, float* scratch, Strided<bf16> dq,
                               Strided<bf16> dk, Strided<bf16> dv) {
  auto const stride = padded_keys(length);
  auto const keys = stride - row_multiple;
  auto const ds_stride = keys / 2 + row_multiple;
  auto const words = words_of(head_dim);
  auto const features = padded(head_dim);
  auto* const dk_sums = scratch;                      // (head_dim, stride)
  auto* const dv_sums = dk_sums + head_dim * stride;  // (head_dim, stride)
  auto* const dq_sums = dv_sums + head_dim * stride;  // (query_block, features)
  auto* const k_words = reinterpret_cast<std::uint32_t*>(dq_sums + query_block * features);
  auto* const v_words = k_words + words * stride;             // k, v: (words, stride)
  auto* const k_pairs = v_words + words * stride;             // (keys / 2, features)
  auto* const queries = k_pairs + keys / 2 * features;        // (words, query_block)
  auto* const gradients = queries + query_block * words;      // (words, query_block)
  auto* const query_pairs = gradients + query_block * words;  // (query_block / 2, features)
  auto* const gradient_pairs = query_pairs + query_block / 2 * features;  // the same
  auto* const p_pairs = gradient_pairs + query_block / 2 * features;      // (block / 2, stride)
  auto* const ds_pairs = p_pairs + query_block / 2 * stride;              // (block / 2, stride)
  auto* const ds_rows = ds_pairs + query_block / 2 * stride;              // (block, ds_stride)
  pack_words(k, length, head_dim, keys, stride, k_words);
  pack_words(v, length, head_dim, keys, stride, v_words);
  pack_row_pairs(k, length, head_dim, keys / 2, features, k_pairs);
  for (auto first = Index{0}; first < length; first += query_block) {
    auto const rows = length - first < query_block ? length - first : query_block;
    auto const whole = (rows + 3) / 4 * 4;
    auto const write = first == 0 ? Write::assign : Write::accumulate;
    auto const block_q = Strided<bf16 const>{q.row(first), q.stride};
    auto const block_dout = Strided<bf16 const>{dout.row(first), dout.stride};
    pack_words(block_q, rows, head_dim, whole, query_block, queries);
    pack_words(block_dout, rows, head_dim, whole, query_block, gradients);
    pack_row_pairs(block_q, rows, head_dim, whole / 2, features, query_pairs);
    pack_row_pairs(block_dout, rows, head_dim, whole / 2, features, gradient_pairs);
    float offsets[query_block], delta[query_block];
    for (auto i = Index{0}; i < rows; ++i) {
      auto products = Floats{};
      for (auto c = Index{0}; c < head_dim; c += width) {
        products +=
            load(block_dout.row(i) + c, head_dim - c) * load(out.row(first + i) + c, head_dim - c);
      }
      delta[i] = sum(products);
      offsets[i] = lse[first + i] * log2_e;
    }
    for (auto i = rows; i < whole; ++i) {  // queries that there are not, of weight zero
      delta[i] = 0.f;
      offsets[i] = 1e30f;
    }
    auto const tile = ScoreTile{queries, gradients, k_words, v_words,  offsets, delta,    words,
                                stride,  length,    p_pairs, ds_pairs, ds_rows, ds_stride};
    for (auto j = Index{0}; j < keys; j += 2 * width) {
      for (auto i = Index{0}; i < whole; i += 4) score_tile(tile, i, j);
    }
    product(
        rows, features, keys / 2,
        ProductOperands<std::uint32_t>{ds_rows, ds_stride, 1, k_pairs, features, dq_sums, features},
        Write::assign);
    product(
        head_dim, keys, whole / 2,
        ProductOperands<std::uint32_t>{query_pairs, 1, features, ds_pairs, stride, dk_sums, stride},
        write);
    product(head_dim, keys, whole / 2,
            ProductOperands<std::uint32_t>{gradient_pairs, 1, features, p_pairs, stride, dv_sums,
                                           stride},
            write);
    unpack(dq_sums, rows, head_dim, features, Strided<bf16>{dq.row(first), dq.stride});
  }
  unpack_transposed(dk_sums, length, head_dim, stride, dk);
  unpack_transposed(dv_sums, length, head_dim, stride, dv);
}
