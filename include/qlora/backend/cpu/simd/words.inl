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
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(b), "v"(all));
  return sum;
}

// The numbers of `low`, then those of `high`, rounded.
QLORA_SIMD_INLINE Words narrowed(Floats low, Floats high) {
  Words words;
  __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(words) : "v"(high), "v"(low));
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

// 2^x to 3e-6 of its value, for what is rounded to bf16: a minimax polynomial on [-.5, .5].
QLORA_SIMD_INLINE Floats exp2(Floats x) {
  constexpr auto shifter = 12582912.f;  // as in exp
  auto const n = (x + shifter) - shifter;
  auto const f = x - n;
  auto p = f * .00957010221f + .0559178591f;
  p = p * f + .240247443f;
  p = p * f + .693121791f;
  p = p * f + .999999285f;
  Floats result;
  __asm__("vscalefps %2, %1, %0" : "=v"(result) : "v"(p), "v"(n));
  return result;
}
inline constexpr auto log2_e = 1.44269504f;
