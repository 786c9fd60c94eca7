// Attention of one sequence and head. Scores of a block of queries with all keys are in scratch;
// keys and values are copied there so that vectors run over keys or over a head's features.

// out (features, keys) = x (keys, features)^T, keys padded with zeros.
template <class T>
void pack_transposed(Strided<T const> x, Index length, Index features, Index keys, float* out) {
  auto const* const end = x.row(length - 1) + features;
  for (auto j = Index{0}; j < keys; j += width) {
    for (auto c = Index{0}; c < features; c += width) {
      Floats v[width];  // beyond the last feature whatever is there
#pragma GCC unroll 16
      for (auto i = Index{0}; i < width; ++i) {
        v[i] = j + i < length ? load(x.row(j + i) + c, end - x.row(j + i) - c) : Floats{};
      }
      transpose<width / 2>(v);
      auto const some = features - c < width ? features - c : width;
      for (auto i = Index{0}; i < some; ++i) store(out + (c + i) * keys + j, v[i]);
    }
  }
}

// out (rows, stride) = factor x, features padded with zeros.
template <class T>
void pack(Strided<T const> x, Index rows, Index features, Index stride, float* out) {
  for (auto i = Index{0}; i < rows; ++i) {
    for (auto c = Index{0}; c < stride; c += width) {
      auto const value = c < features ? load(x.row(i) + c, features - c) : Floats{};
      store(out + i * stride + c, value);
    }
  }
}

template <class T>
void attention(Strided<T const> q, Strided<T const> k, Strided<T const> v, Index length,
               Index head_dim, float* scratch, Strided<T> out, float* lse) {
  auto const keys = padded(length);
  auto const stride = padded_keys(length);
  auto const features = padded(head_dim);
  auto* const k_transposed = scratch;                     // (head_dim, stride)
  auto* const values = k_transposed + head_dim * stride;  // (length, features)
  auto* const queries = values + length * features;       // (query_block, features)
  auto* const sums = queries + query_block * features;    // (query_block, features)
  auto* const scores = sums + query_block * features;     // (query_block, stride)
  pack_transposed(k, length, head_dim, stride, k_transposed);
  pack(v, length, head_dim, features, values);
  for (auto first = Index{0}; first < length; first += query_block) {
    auto const rows = length - first < query_block ? length - first : query_block;
    pack(Strided<T const>{q.row(first), q.stride}, rows, head_dim, features, queries);
    product(rows, keys, head_dim,
            ProductOperands<float>{queries, features, 1, k_transposed, stride, scores, stride},
            Write::assign);
    float totals[query_block];
    for (auto i = Index{0}; i < rows; ++i) {
      auto* const row = scores + i * stride;
      hide_padding(row, length, keys);
      auto most = load(row);
      for (auto j = width; j < keys; j += width) {
        auto const value = load(row + j);
        most = value > most ? value : most;
      }
      auto const maximum = largest(most);
      auto total = Floats{};
      for (auto j = Index{0}; j < keys; j += width) {
        auto const weight = exp(load(row + j) - maximum);
        total += weight;
        store(row + j, weight);
      }
      totals[i] = sum(total);
      lse[first + i] = maximum + __builtin_logf(totals[i]);
    }
    product(rows, features, length,
            ProductOperands<float>{scores, stride, 1, values, features, sums, features},
            Write::assign);
    for (auto i = Index{0}; i < rows; ++i) {
      auto const inverse = 1.f / totals[i];
      for (auto c = Index{0}; c < head_dim; c += width) {
        store(out.row(first + i) + c, load(sums + i * features + c) * inverse, head_dim - c);
      }
    }
  }
}

// With p = softmax(q k^T): dv = p^T dout, ds = p (dout v^T - rowsum(dout out)), dq = ds k,
// dk = ds^T q.
template <class T>
void attention_backward(Strided<T const> q, Strided<T const> k, Strided<T const> v,
                        Strided<T const> out, Strided<T const> dout, float const* lse, Index length,
                        Index head_dim, float* scratch, Strided<T> dq, Strided<T> dk,
                        Strided<T> dv) {
  auto const keys = padded(length);
  auto const stride = padded_keys(length);
  auto const features = padded(head_dim);
  auto* const k_transposed = scratch;                           // (head_dim, stride)
  auto* const v_transposed = k_transposed + head_dim * stride;  // (head_dim, stride)
  auto* const k_rows = v_transposed + head_dim * stride;        // (length, features)
  auto* const dk_sums = k_rows + length * features;             // (length, features)
  auto* const dv_sums = dk_sums + length * features;            // (length, features)
  auto* const queries = dv_sums + length * features;            // (query_block, features)
  auto* const gradients = queries + query_block * features;     // (query_block, features)
  auto* const dq_sums = gradients + query_block * features;     // (query_block, features)
  auto* const p = dq_sums + query_block * features;             // (query_block, stride)
  auto* const ds = p + query_block * stride;                    // (query_block, stride)
  pack_transposed(k, length, head_dim, stride, k_transposed);
  pack_transposed(v, length, head_dim, stride, v_transposed);
  pack(k, length, head_dim, features, k_rows);
  for (auto first = Index{0}; first < length; first += query_block) {
    auto const rows = length - first < query_block ? length - first : query_block;
    auto const write = first == 0 ? Write::assign : Write::accumulate;
    pack(Strided<T const>{q.row(first), q.stride}, rows, head_dim, features, queries);
    pack(Strided<T const>{dout.row(first), dout.stride}, rows, head_dim, features, gradients);
    product(rows, keys, head_dim,
            ProductOperands<float>{queries, features, 1, k_transposed, stride, p, stride},
            Write::assign);
    product(rows, keys, head_dim,
            ProductOperands<float>{gradients, features, 1, v_transposed, stride, ds, stride},
            Write::assign);
    for (auto i = Index{0}; i < rows; ++i) {
      auto products = Floats{};
      for (auto c = Index{0}; c < head_dim; c += width) {
        products += load(gradients + i * features + c) * load(out.row(first + i) + c, head_dim - c);
      }
      auto const delta = sum(products);
      auto* const p_row = p + i * stride;
      auto* const ds_row = ds + i * stride;
      hide_padding(p_row, length, keys);
      for (auto j = Index{0}; j < keys; j += width) {
        auto const weight = exp(load(p_row + j) - lse[first + i]);
        store(p_row + j, weight);
        store(ds_row + j, weight * (load(ds_row + j) - delta));
      }
    }
    product(rows, features, length,
            ProductOperands<float>{ds, stride, 1, k_rows, features, dq_sums, features},
            Write::assign);
    product(length, features, rows,
            ProductOperands<float>{ds, 1, stride, queries, features, dk_sums, features}, write);
    product(length, features, rows,
            ProductOperands<float>{p, 1, stride, gradients, features, dv_sums, features}, write);
    unpack(dq_sums, rows, head_dim, features, Strided<T>{dq.row(first), dq.stride});
  }
  unpack(dk_sums, length, head_dim, features, dk);
  unpack(dv_sums, length, head_dim, features, dv);
}
