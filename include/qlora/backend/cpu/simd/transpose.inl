// Transposition in registers.

// Of two vectors, what becomes of the one (`Upper` false) and of the other where lanes whose number
// lacks the bit S of the second change places with those of the first that have it.
#if defined(__clang__)
template <int S, bool Upper, class V, int... Lane>
QLORA_SIMD_INLINE V exchanged(V a, V b, std::integer_sequence<int, Lane...>) {
  return __builtin_shufflevector(
      a, b, ((Lane & S) != 0 ? int{width} + Lane - (Upper ? 0 : S) : Lane + (Upper ? S : 0))...);
}
template <int S, bool Upper, class V>
QLORA_SIMD_INLINE V exchanged(V a, V b) {
  return exchanged<S, Upper>(a, b, std::make_integer_sequence<int, int{width}>{});
}
#else
template <int S, bool Upper, class V>
QLORA_SIMD_INLINE V exchanged(V a, V b) {
  constexpr auto from_a = std::uint32_t{Upper ? S : 0};
  constexpr auto from_b = std::uint32_t{Upper ? width : width - S};
  auto const has_bit = (lanes() & S) != 0;
  return __builtin_shuffle(a, b, lanes() + (has_bit ? Words{} + from_b : Words{} + from_a));
}
#endif

// Vectors as rows: the bit S of a row's number changes places with that of a lane's, for S and all
// below. Of N vectors with N lanes, S = N / 2 makes the transposed matrix; with 2 N lanes, both
// halves are transposed for themselves.
template <int S, int N, class V>
QLORA_SIMD_INLINE void transpose(V (&v)[N]) {
#pragma GCC unroll 16
  for (auto i = 0; i < N; ++i) {
    if ((i & S) != 0) continue;
    auto const a = v[i], b = v[i + S];
    v[i] = exchanged<S, false>(a, b);
    v[i + S] = exchanged<S, true>(a, b);
  }
  if constexpr (S > 1) transpose<S / 2>(v);
}
