// Words of two bf16 numbers, for processors that multiply them and add up in float.

QLORA_SIMD_INLINE Words load(std::uint32_t const* p) {
  return reinterpret_cast<Unaligned<Words> const*>(p)->value;
}
QLORA_SIMD_INLINE void store(std::uint32_t* p, Words v) {
  reinterpret_cast<Unaligned<Words>*>(p)->value = v;
}

// sum + the products of low and of high halves; `a` is one word for all lanes. In assembler, since
// compilers differ in the types of this instruction.
QLORA_SIMD_INLINE Floats multiply_add(Floats sum, std::uint32_t a, Words b) {
  auto const all = Words{} + a;
  __asm__("vdpbf16ps {%2, %1, %0|%0, %1, %2}" : "+v"(sum) : "v"(b), "v"(all));
  return sum;
}

// The numbers of `low`, then those of `high`, rounded.
QLORA_SIMD_INLINE Words narrowed(Floats low, Floats high) {
  Words words;
  __asm__("vcvtne2ps2bf16 {%2, %1, %0|%0, %1, %2}" : "=v"(words) : "v"(high), "v"(low));
  return words;
}

// In each lane a word of both, rounded.
QLORA_SIMD_INLINE Words paired(Floats low, Floats high) {
  using Shorts = std::uint16_t __attribute__((vector_size(64)));
  auto const x = __builtin_bit_cast(Shorts, narrowed(low, high));
  return __builtin_bit_cast(
      Words, __builtin_shufflevector(x, x, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
}

QLORA_SIMD_INLINE Index words_of(Index numbers) {
  return (numbers + 1) / 2;
}

// 2^x to 3e-6 of its value, for what is rounded to bf16: a minimax polynomial of what x is above
// the next integer below. It is not monotonic at integers, where it has errors of either sign.
QLORA_SIMD_INLINE Floats exp2(Floats x) {
  Floats f;
  __asm__("vreduceps {$9, %1, %0|%0, %1, 9}" : "=v"(f) : "v"(x));  // x - floor(x)
  auto p = f * .0135341678f + .0520114601f;
  p = p * f + .241442755f;
  p = p * f + .693003833f;
  p = p * f + 1.00000262f;
  return scaled(p, x);
}
inline constexpr auto log2_e = 1.44269504f;
