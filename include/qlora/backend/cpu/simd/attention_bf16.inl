// Attention by vectors' products of words.

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
    float totals[query_block];
    softmax_weights(scores, rows, length, keys, stride, totals, lse + first);
    product(rows, features, keys / 2,
            ProductOperands<std::uint32_t>{weights, stride, 1, v_pairs, features, sums, features},
            Write::assign);
    divide(sums, rows, head_dim, features, totals, Strided<bf16>{out.row(first), out.stride});
  }
}

// What a tile of scores is made of.
struct ScoreTile {
  std::uint32_t const *queries, *gradients;  // (words, query_block)
  std::uint32_t const *k_words, *v_words;    // (words, stride)
  Index words, stride;
};

// Four queries from `i` with two vectors of keys from `j`: scores are not written as floats.
QLORA_SIMD_INLINE void score_tile(ScoreTile const& t, ScoreTargets const& targets, Index i,
                                  Index j) {
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
  finish_scores(targets, i, j, p, ds);
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
    row_terms(Strided<bf16 const>{out.row(first), out.stride}, block_dout, lse + first, rows,
              head_dim, whole, offsets, delta);
    auto const tile = ScoreTile{queries, gradients, k_words, v_words, words, stride};
    auto const targets =
        ScoreTargets{offsets, delta, length, p_pairs, ds_pairs, stride, ds_rows, ds_stride};
    for (auto j = Index{0}; j < keys; j += 2 * width) {
      for (auto i = Index{0}; i < whole; i += 4) score_tile(tile, targets, i, j);
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
