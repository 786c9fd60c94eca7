// What both kinds of attention do with rows.

template <class T>
void unpack(float const* x, Index rows, Index features, Index stride, Strided<T> out) {
  for (auto i = Index{0}; i < rows; ++i) {
    for (auto c = Index{0}; c < features; c += width) {
      store(out.row(i) + c, load(x + i * stride + c), features - c);
    }
  }
}

// Scores beyond the last key: their exponential is zero. Not so low that they would overflow where
// they are multiplied to have it to base 2.
QLORA_SIMD_INLINE void hide_padding(float* scores, Index length, Index keys) {
  for (auto j = length; j < keys; ++j) scores[j] = -1e30f;
}
