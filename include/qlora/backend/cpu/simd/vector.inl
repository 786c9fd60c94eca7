// Vectors and the functions of them that the loops need.

using Floats = float __attribute__((vector_size(QLORA_SIMD_BYTES)));
using Words = std::uint32_t __attribute__((vector_size(QLORA_SIMD_BYTES)));
using Signed = int __attribute__((vector_size(QLORA_SIMD_BYTES)));
using Pairs = std::uint64_t __attribute__((vector_size(QLORA_SIMD_BYTES)));
using Halves = std::uint16_t __attribute__((vector_size(QLORA_SIMD_BYTES / 2)));
// A vector in memory, at any address and whatever the elements' declared type.
template <class V>
struct __attribute__((packed, may_alias)) Unaligned {
  V value;
};

inline constexpr Index width = QLORA_SIMD_BYTES / 4;

// The numbers of the lanes.
QLORA_SIMD_INLINE Words lanes() {
#if QLORA_SIMD_BYTES == 64
  return Words{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif QLORA_SIMD_BYTES == 32
  return Words{0, 1, 2, 3, 4, 5, 6, 7};
#else
  return Words{0, 1, 2, 3};
#endif
}

QLORA_SIMD_INLINE Floats load(float const* p) {
  return reinterpret_cast<Unaligned<Floats> const*>(p)->value;
}

QLORA_SIMD_INLINE Words load_halves(void const* p) {
  return __builtin_convertvector(static_cast<Unaligned<Halves> const*>(p)->value, Words);
}

QLORA_SIMD_INLINE Floats load(bf16 const* p) {
  return __builtin_bit_cast(Floats, load_halves(p) << 16);
}

QLORA_SIMD_INLINE void store(float* p, Floats v) {
  reinterpret_cast<Unaligned<Floats>*>(p)->value = v;
}

// The upper halves of words.
QLORA_SIMD_INLINE void store_upper(bf16* p, Words words) {
  reinterpret_cast<Unaligned<Halves>*>(p)->value = __builtin_convertvector(words >> 16, Halves);
}

// Adds what makes the upper half of each word its float rounded to bf16.
template <class W, class V>
QLORA_SIMD_INLINE W rounded(V v) {
  auto const words = __builtin_bit_cast(W, v);
  auto const nearest = words + 0x7fffu + (words >> 16 & 1u);
  return v == v ? nearest : words | 0x400000u;  // NOLINT(misc-redundant-expression): not a NaN
}

QLORA_SIMD_INLINE void store(bf16* p, Floats v) {
  store_upper(p, rounded<Words>(v));
}

// The ends of rows, less than a vector. Rare, and called in many places, so not inlined.
template <class T>
__attribute__((noinline)) Floats load_part(T const* p, Index count) {
  alignas(QLORA_SIMD_BYTES) unsigned char part[sizeof(T) * width] = {};
  __builtin_memcpy(part, p, static_cast<std::size_t>(count) * sizeof(T));
  return load(reinterpret_cast<T const*>(part));
}

template <class T>
__attribute__((noinline)) void store_part(T* p, Floats v, Index count) {
  alignas(QLORA_SIMD_BYTES) unsigned char part[sizeof(T) * width];
  store(reinterpret_cast<T*>(part), v);
  __builtin_memcpy(p, part, static_cast<std::size_t>(count) * sizeof(T));
}

#if QLORA_SIMD_BYTES == 64 && !defined(__SANITIZE_ADDRESS__)
// Of bf16 they are not rare: heads of 24 numbers end in half a vector. Masked, which does not pay
// for float, where more of what is masked lies on another cache line. In assembly, since compilers
// differ in the names of these instructions; sanitizers do not see what it touches.
QLORA_SIMD_INLINE Floats load_part(bf16 const* p, Index count) {
  auto const mask = static_cast<std::uint16_t>((1u << count) - 1u);
  Words words;
  __asm__("vpmovzxwd {%1, %0%{%2%}%{z%}|%0%{%2%}%{z%}, %1}"
          : "=v"(words)
          : "m"(*reinterpret_cast<Unaligned<Halves> const*>(p)), "Yk"(mask));
  return __builtin_bit_cast(Floats, words << 16);
}

QLORA_SIMD_INLINE void store_part(bf16* p, Floats v, Index count) {
  auto const mask = static_cast<std::uint16_t>((1u << count) - 1u);
  __asm__("vpmovdw {%1, %0%{%2%}|%0%{%2%}, %1}"
          : "+m"(*reinterpret_cast<Unaligned<Halves>*>(p))
          : "v"(rounded<Words>(v) >> 16), "Yk"(mask));
}
#endif

// The first `count` elements, zeros after them.
template <class T>
QLORA_SIMD_INLINE Floats load(T const* p, Index count) {
  return count >= width ? load(p) : load_part(p, count);
}

template <class T>
QLORA_SIMD_INLINE void store(T* p, Floats v, Index count) {
  if (count >= width) {
    store(p, v);
  } else {
    store_part(p, v, count);
  }
}

QLORA_SIMD_INLINE float to_float(float value) {
  return value;
}
QLORA_SIMD_INLINE float to_float(bf16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}

// Sum in a fixed tree.
QLORA_SIMD_INLINE float sum(Floats v) {
  using Four = float __attribute__((vector_size(16)));
#if QLORA_SIMD_BYTES == 64
  using Octet = float __attribute__((vector_size(32)));
  auto const octet = Octet(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7)) +
                     Octet(__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
  auto const quad = Four(__builtin_shufflevector(octet, octet, 0, 1, 2, 3)) +
                    Four(__builtin_shufflevector(octet, octet, 4, 5, 6, 7));
#elif QLORA_SIMD_BYTES == 32
  auto const quad = Four(__builtin_shufflevector(v, v, 0, 1, 2, 3)) +
                    Four(__builtin_shufflevector(v, v, 4, 5, 6, 7));
#else
  auto const quad = Four(v);
#endif
  return (quad[0] + quad[2]) + (quad[1] + quad[3]);
}

QLORA_SIMD_INLINE float largest(Floats v) {
  auto result = v[0];
  for (auto i = Index{1}; i < width; ++i) result = v[i] > result ? v[i] : result;
  return result;
}

#if QLORA_SIMD_BYTES == 64
// x 2^floor(n). In assembler, as compilers differ in the name of this instruction.
QLORA_SIMD_INLINE Floats scaled(Floats x, Floats n) {
  Floats result;
  __asm__("vscalefps {%2, %1, %0|%0, %1, %2}" : "=v"(result) : "v"(x), "v"(n));
  return result;
}
#endif

// e^x to 1e-7 of its value; 0 below -87.3, and at most e^88.3 or infinity.
QLORA_SIMD_INLINE Floats exp(Floats x) {
  constexpr auto shifter = 12582912.f;  // 1.5 2^23: what is added to it is rounded to an integer
#if QLORA_SIMD_BYTES != 64
  auto const finite = x == x;  // NOLINT(misc-redundant-expression): not a NaN
  x = x < 88.3f ? x : finite ? Floats{} + 88.3f : x;
#endif
  auto const shifted = x * 1.44269504f + shifter;
  auto const n = shifted - shifter;
  auto const r = (x - n * .693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  auto p = r * .00138143904f + .00836881716f;
  p = p * r + .0416683964f;
  p = p * r + .166665196f;
  p = p * r + .49999994f;
  p = p * (r * r) + r + 1.f;
#if QLORA_SIMD_BYTES == 64
  auto const result = scaled(p, n);
#else
  auto const power = (__builtin_bit_cast(Words, shifted) << 23) + (127u << 23);
  auto const result = p * __builtin_bit_cast(Floats, power);
#endif
  return x < -87.3f ? Floats{} : result;
}

// Of the standard normal distribution: the cumulative function, and e^(-u^2/2).
struct Normal {
  Floats cumulative, bell;
};

// With t = |u|, Phi(-t) = e^(-t^2/2) R(t), and R is a polynomial in 1 / (1 + .48 t) to 1e-7 of its
// value (a minimax fit in the form of Abramowitz and Stegun, 7.1.26).
QLORA_SIMD_INLINE Normal normal(Floats u) {
  auto const bell = exp(u * u * -.5f);
  auto const t = u < 0.f ? -u : u;
  auto const s = 1.f / (t * .48f + 1.f);
  auto r = s * .0538749509f - .282317072f;
  r = r * s + .584687829f;
  r = r * s - .545027852f;
  r = r * s + .137279958f;
  r = r * s + .0152494693f;
  r = r * s + .153758094f;
  r = r * s + .190985635f;
  r = r * s + .191509038f;
  auto const tail = bell * (r * s);
  return {u < 0.f ? tail : 1.f - tail, bell};
}
