// Loops over the codes of 4 bits of a quantized matrix.

// As the type's upper halves or whole words, already rounded.
QLORA_SIMD_INLINE void store_rounded(float* p, Floats v) {
  store(p, v);
}
QLORA_SIMD_INLINE void store_rounded(bf16* p, Floats v) {
  store_upper(p, __builtin_bit_cast(Words, v));
}

template <class T>
QLORA_SIMD_INLINE float round_to(float value) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return value;
  } else {
    auto const word = __builtin_bit_cast(std::uint32_t, value);
    return __builtin_bit_cast(float, (word + 0x7fffu + (word >> 16 & 1u)) & 0xffff0000u);
  }
}

// In each lane one of `values` (16), selected by its low four bits.
QLORA_SIMD_INLINE Floats choose(float const* values, Words index) {
#if QLORA_SIMD_BYTES == 64
#if defined(__clang__)
  return __builtin_ia32_permvarsf512(load(values), __builtin_bit_cast(Signed, index));
#else
  return __builtin_shuffle(load(values), index);
#endif
#elif QLORA_SIMD_BYTES == 32
#if defined(__clang__)
  auto const low = __builtin_ia32_permvarsf256(load(values), __builtin_bit_cast(Signed, index));
  auto const high =
      __builtin_ia32_permvarsf256(load(values + 8), __builtin_bit_cast(Signed, index));
#else
  auto const low = __builtin_shuffle(load(values), index);
  auto const high = __builtin_shuffle(load(values + 8), index);
#endif
  return (index & 8u) != 0 ? high : low;
#else
  auto chosen = Floats{};
  for (auto lane = Index{0}; lane < width; ++lane) chosen[lane] = values[index[lane] & 15u];
  return chosen;
#endif
}

#if QLORA_SIMD_BYTES > 16
// Values (16) of the first `width` codes at `codes`.
QLORA_SIMD_INLINE Floats look_up(float const* values, std::uint8_t const* codes) {
  auto const shifts = (lanes() / 2 % 4) * 8 + (1 - lanes() % 2) * 4;
  auto word = std::uint32_t{};
  __builtin_memcpy(&word, codes, sizeof word);
#if QLORA_SIMD_BYTES == 64
  auto second = std::uint32_t{};
  __builtin_memcpy(&second, codes + 4, sizeof second);
  return choose(values, (lanes() < 8 ? Words{} + word : Words{} + second) >> shifts);
#else
  return choose(values, (Words{} + word) >> shifts);
#endif
}
#endif

template <class T>
void dequantize4(std::uint8_t const* codes, Index n, Index block, float const* codebook,
                 float const* scales, T* out) {
  for (auto first = Index{0}; first < n; first += block) {
    alignas(64) float values[16];
    for (auto i = 0; i < 16; ++i) values[i] = round_to<T>(codebook[i] * scales[first / block]);
    auto const count = n - first < block ? n - first : block;
    auto const* const bytes = codes + first / 2;
    auto i = Index{0};
#if QLORA_SIMD_BYTES > 16
    for (; i + width <= count; i += width) {
      store_rounded(out + first + i, look_up(values, bytes + i / 2));
    }
#endif
    for (; i < count; ++i) {
      auto const byte = bytes[i / 2];
      auto const value = values[i % 2 == 0 ? byte >> 4 : byte & 15];
      __builtin_memcpy(out + first + i,
                       reinterpret_cast<unsigned char const*>(&value) + sizeof value - sizeof(T),
                       sizeof(T));
    }
  }
}

template <class V>
QLORA_SIMD_INLINE V greater(V a, V b) {
  return a > b ? a : b;
}

// Of all lanes.
QLORA_SIMD_INLINE std::uint32_t largest(Words v) {
  using Four = std::uint32_t __attribute__((vector_size(16)));
#if QLORA_SIMD_BYTES == 64
  using Octet = std::uint32_t __attribute__((vector_size(32)));
  auto const octet = greater(Octet(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7)),
                             Octet(__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)));
  auto const quad = greater(Four(__builtin_shufflevector(octet, octet, 0, 1, 2, 3)),
                            Four(__builtin_shufflevector(octet, octet, 4, 5, 6, 7)));
#elif QLORA_SIMD_BYTES == 32
  auto const quad = greater(Four(__builtin_shufflevector(v, v, 0, 1, 2, 3)),
                            Four(__builtin_shufflevector(v, v, 4, 5, 6, 7)));
#else
  auto const quad = Four(v);
#endif
  return greater(greater(quad[0], quad[2]), greater(quad[1], quad[3]));
}

// As integers, which keep the order of magnitudes and put NaN above infinity.
inline void largest_magnitudes(float const* x, Index n, Index block, float* magnitudes) {
  for (auto first = Index{0}; first < n; first += block) {
    auto const count = n - first < block ? n - first : block;
    auto most = Words{};
    for (auto i = Index{0}; i < count; i += width) {
      auto const bits = __builtin_bit_cast(Words, load(x + first + i, count - i));
      most = greater(bits & 0x7fffffffu, most);
    }
    magnitudes[first / block] = __builtin_bit_cast(float, largest(most));
  }
}

// The ladder is a copy, which no store of codes can change: it stays in registers.
inline void quantize4(float const* x, Index n, Index block, float const* factors, Ladder ladder,
                      std::uint8_t* codes) {
  using Bytes = std::uint8_t __attribute__((vector_size(width / 2)));
  for (auto first = Index{0}; first < n; first += block) {
    auto const count = n - first < block ? n - first : block;
    auto const factor = factors[first / block];
    for (auto i = Index{0}; i < count; i += width) {
      auto y = load(x + first + i, count - i) * factor;
      y = y < -1.f ? Floats{} - 1.f : y;
      y = y > 1.f ? Floats{} + 1.f : y;
      auto rank = Words{};
#pragma GCC unroll 4
      for (auto step = 8u; step > 0; step /= 2) {
        rank += y > choose(ladder.numbers, rank + (step - 1)) ? Words{} + step : Words{};
      }
      auto const code = __builtin_bit_cast(Pairs, choose(ladder.codes, rank));
      auto const bytes = __builtin_convertvector(code << 4 | code >> 32, Bytes);
      auto const some = count - i < width ? count - i : width;
      __builtin_memcpy(codes + (first + i) / 2, &bytes, static_cast<std::size_t>(some / 2));
    }
  }
}
