// Attention by AMX's products of tiles.

// Features in chunks that a tile has, all alike: words of a chunk, and chunks.
struct Chunks {
  Index words, count;

  Index all() const { return words * count; }
  // From row to row of queries, whole vectors of bf16 numbers.
  Index row_stride() const { return (all() + 7) / 8 * 8; }
};
QLORA_SIMD_INLINE Chunks chunks_of(Index features) {
  auto const words = words_of(features);
  auto const count = (words + 15) / 16;
  return {(words + count - 1) / count, count};
}

// out (query_block, stride) words = x's rows, zero from row `rows` and feature `features` on;
// stride is a multiple of 8.
inline void pack_rows(Strided<bf16 const> x, Index rows, Index features, Index stride,
                      std::uint32_t* out) {
  for (auto i = Index{0}; i < query_block; ++i) {
    auto* const row = reinterpret_cast<bf16*>(out + i * stride);
    for (auto c = Index{0}; c < 2 * stride; c += width) {
      store(row + c, i < rows && c < features ? load(x.row(i) + c, features - c) : Floats{});
    }
  }
}

// out (all, query_block / 2): words of two neighbouring rows, transposed, zero from feature
// `features` to `all`, which is a multiple of 16.
inline void pack_pairs_transposed(Strided<bf16 const> x, Index rows, Index features, Index all,
                                  std::uint32_t* out) {
  for (auto c = Index{0}; c < all; c += width) {
    Words v[query_block / 2];
#pragma GCC unroll 16
    for (auto i = Index{0}; i < query_block / 2; ++i) {
      v[i] = upper_halves(x, rows, 2 * i, c, features) >> 16 |
             upper_halves(x, rows, 2 * i + 1, c, features);
    }
    transpose<width / 2>(v);
    for (auto i = 0; i < width; ++i) store(out + (c + i) * width, v[i]);
  }
}

// Zeroes rows `from` to `to` of words (to, stride).
inline void zero_words(std::uint32_t* words, Index from, Index to, Index stride) {
  for (auto i = from * stride; i < to * stride; i += width) store(words + i, Words{});
}

// scores (query_block, score_stride), 16 columns of them = rows (query_block, row_stride) words
// times columns (words, stride).
inline void score_columns(Chunks chunks, std::uint32_t const* rows, Index row_stride,
                          std::uint32_t const* columns, Index stride, float* scores,
                          Index score_stride) {
  zero_tile<sums>();
  zero_tile<more_sums>();
  for (auto c = Index{0}; c < chunks.all(); c += chunks.words) {
    load_tile<chunk_right>(columns + c * stride, stride);
    load_tile<chunk_left>(rows + c, row_stride);
    multiply_tiles<sums, chunk_left, chunk_right>();
    load_tile<more_chunk_left>(rows + 16 * row_stride + c, row_stride);
    multiply_tiles<more_sums, more_chunk_left, chunk_right>();
  }
  store_tile<sums>(scores, score_stride);
  store_tile<more_sums>(scores + 16 * score_stride, score_stride);
}

// out (query_block, features) = weights (query_block, weight_stride) words of `keys` keys, times
// pairs (keys / 2, features).
inline void weighted_sums(std::uint32_t const* weights, Index weight_stride, Index keys,
                          std::uint32_t const* pairs, Index features, float* out) {
  for (auto c = Index{0}; c < features; c += 16) {
    zero_tile<sums>();
    zero_tile<more_sums>();
    for (auto j = Index{0}; j < keys / 2; j += 16) {
      load_tile<right>(pairs + j * features + c, features);
      load_tile<left>(weights + j, weight_stride);
      multiply_tiles<sums, left, right>();
      load_tile<more_left>(weights + 16 * weight_stride + j, weight_stride);
      multiply_tiles<more_sums, more_left, right>();
    }
    store_tile<sums>(out + c, features);
    store_tile<more_sums>(out + 16 * features + c, features);
  }
}

// of_keys (features, stride), 32 columns of them = or += transposed (features, query_block / 2)
// times pairs (query_block / 2, 32), both words of two queries.
inline void add_queries(std::uint32_t const* transposed, Index features, std::uint32_t const* pairs,
                        float* of_keys, Index stride, Write write) {
  for (auto c = Index{0}; c < features; c += 16) {
    load_tile<left>(transposed + c * width, width);
    for (auto j = Index{0}; j < 2 * width; j += width) {
      auto* const out = of_keys + c * stride + j;
      if (write == Write::assign) {
        zero_tile<sums>();
      } else {
        load_tile<sums>(out, stride);
      }
      load_tile<right>(pairs + j, 2 * width);
      multiply_tiles<sums, left, right>();
      store_tile<sums>(out, stride);
    }
  }
}

inline void attention(Strided<bf16 const> q, Strided<bf16 const> k, Strided<bf16 const> v,
                      Index length, Index head_dim, float* scratch, Strided<bf16> out, float* lse) {
  auto const stride = padded_keys(length);
  auto const keys = stride - row_multiple;
  auto const chunks = chunks_of(head_dim);
  auto const row_stride = chunks.row_stride();
  auto const features = padded(head_dim);
  auto* const k_words = reinterpret_cast<std::uint32_t*>(scratch);  // (words of chunks, stride)
  auto* const v_pairs = k_words + chunks.all() * stride;            // (keys / 2, features)
  auto* const queries = v_pairs + keys / 2 * features;              // (query_block, row_stride)
  auto* const sums_of_queries =
      reinterpret_cast<float*>(queries + query_block * row_stride);  // (query_block, features)
  auto* const scores = sums_of_queries + query_block * features;     // (query_block, stride)
  // Weights take the place of scores, half as long.
  auto const* const weights = reinterpret_cast<std::uint32_t const*>(scores);
  pack_words(k, length, head_dim, keys, stride, k_words);
  zero_words(k_words, words_of(head_dim), chunks.all(), stride);
  pack_row_pairs(v, length, head_dim, keys / 2, features, v_pairs);
  auto const tiles = Tiles{chunks.words};
  for (auto first = Index{0}; first < length; first += query_block) {
    auto const rows = length - first < query_block ? length - first : query_block;
    pack_rows(Strided<bf16 const>{q.row(first), q.stride}, rows, head_dim, row_stride, queries);
    for (auto j = Index{0}; j < keys; j += width) {
      score_columns(chunks, queries, row_stride, k_words + j, stride, scores + j, stride);
    }
    float totals[query_block];
    softmax_weights(scores, rows, length, keys, stride, totals, lse + first);
    weighted_sums(weights, stride, keys, v_pairs, features, sums_of_queries);
    divide(sums_of_queries, rows, head_dim, features, totals,
           Strided<bf16>{out.row(first), out.stride});
  }
}

inline void attention_backward(Strided<bf16 const> q, Strided<bf16 const> k, Strided<bf16 const> v,
                               Strided<bf16 const> out, Strided<bf16 const> dout, float const* lse,
                               Index length, Index head_dim, float* scratch, Strided<bf16> dq,
                               Strided<bf16> dk, Strided<bf16> dv) {
  constexpr auto strip = 2 * width;  // keys whose scores are made at a time
  constexpr auto pairs = query_block / 2;
  auto const stride = padded_keys(length);
  auto const keys = stride - row_multiple;
  auto const ds_stride = keys / 2 + row_multiple;
  auto const chunks = chunks_of(head_dim);
  auto const row_stride = chunks.row_stride();
  auto const features = padded(head_dim);
  auto* const dk_sums = scratch;                      // (features, stride)
  auto* const dv_sums = dk_sums + features * stride;  // (features, stride)
  auto* const dq_sums = dv_sums + features * stride;  // (query_block, features)
  auto* const k_words = reinterpret_cast<std::uint32_t*>(dq_sums + query_block * features);
  auto* const v_words = k_words + chunks.all() * stride;  // k, v: (words of chunks, stride)
  auto* const k_pairs = v_words + chunks.all() * stride;  // (keys / 2, features)
  auto* const queries = k_pairs + keys / 2 * features;    // (query_block, row_stride)
  auto* const gradients = queries + query_block * row_stride;
  auto* const queries_transposed = gradients + query_block * row_stride;  // (features, pairs)
  auto* const gradients_transposed = queries_transposed + features * pairs;
  auto* const ds_rows = gradients_transposed + features * pairs;  // (query_block, ds_stride)
  pack_words(k, length, head_dim, keys, stride, k_words);
  pack_words(v, length, head_dim, keys, stride, v_words);
  zero_words(k_words, words_of(head_dim), chunks.all(), stride);
  zero_words(v_words, words_of(head_dim), chunks.all(), stride);
  pack_row_pairs(k, length, head_dim, keys / 2, features, k_pairs);
  auto const tiles = Tiles{chunks.words};
  for (auto first = Index{0}; first < length; first += query_block) {
    auto const rows = length - first < query_block ? length - first : query_block;
    auto const write = first == 0 ? Write::assign : Write::accumulate;
    auto const block_q = Strided<bf16 const>{q.row(first), q.stride};
    auto const block_dout = Strided<bf16 const>{dout.row(first), dout.stride};
    pack_rows(block_q, rows, head_dim, row_stride, queries);
    pack_rows(block_dout, rows, head_dim, row_stride, gradients);
    pack_pairs_transposed(block_q, rows, head_dim, features, queries_transposed);
    pack_pairs_transposed(block_dout, rows, head_dim, features, gradients_transposed);
    float offsets[query_block], delta[query_block];
    row_terms(Strided<bf16 const>{out.row(first), out.stride}, block_dout, lse + first, rows,
              head_dim, query_block, offsets, delta);
    for (auto j = Index{0}; j < keys; j += strip) {
      alignas(64) float scores[query_block * strip], products[query_block * strip];
      alignas(64) std::uint32_t p_pairs[pairs * strip], ds_pairs[pairs * strip];
      for (auto c = Index{0}; c < strip; c += width) {
        score_columns(chunks, queries, row_stride, k_words + j + c, stride, scores + c, strip);
        score_columns(chunks, gradients, row_stride, v_words + j + c, stride, products + c, strip);
      }
      auto const targets = ScoreTargets{offsets,  delta, length - j,      p_pairs,
                                        ds_pairs, strip, ds_rows + j / 2, ds_stride};
      for (auto i = Index{0}; i < query_block; i += 4) {
        Floats p[4][2], ds[4][2];
#pragma GCC unroll 4
        for (auto r = 0; r < 4; ++r) {
#pragma GCC unroll 2
          for (auto h = 0; h < 2; ++h) {
            p[r][h] = load(scores + (i + r) * strip + h * width);
            ds[r][h] = load(products + (i + r) * strip + h * width);
          }
        }
        finish_scores(targets, i, 0, p, ds);
      }
      add_queries(queries_transposed, features, ds_pairs, dk_sums + j, stride, write);
      add_queries(gradients_transposed, features, p_pairs, dv_sums + j, stride, write);
    }
    weighted_sums(ds_rows, ds_stride, keys, k_pairs, features, dq_sums);
    unpack(dq_sums, rows, head_dim, features, Strided<bf16>{dq.row(first), dq.stride});
  }
  unpack_transposed(dk_sums, length, head_dim, stride, dk);
  unpack_transposed(dv_sums, length, head_dim, stride, dv);
}
