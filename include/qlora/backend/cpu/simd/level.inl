// One level: namespace QLORA_SIMD_LEVEL, vectors of QLORA_SIMD_BYTES, instructions of
// QLORA_SIMD_TARGET. No lambdas and no functions of other headers that a compiler could emit in
// here, for those would need this level's processor.

#if defined(QLORA_SIMD_TARGET)
#define QLORA_SIMD_QUOTED_PRAGMA(...) _Pragma(#__VA_ARGS__)
#define QLORA_SIMD_PRAGMA(...) QLORA_SIMD_QUOTED_PRAGMA(__VA_ARGS__)
#if defined(__clang__)
// clang-format off
QLORA_SIMD_PRAGMA(clang attribute push(__attribute__((target(QLORA_SIMD_TARGET))),
                                       apply_to = function))
// clang-format on
#else
QLORA_SIMD_PRAGMA(GCC push_options)
QLORA_SIMD_PRAGMA(GCC target(QLORA_SIMD_TARGET))
#endif
#endif

namespace qlora::inline v1::simd::QLORA_SIMD_LEVEL {
// Each uses those before it.
// clang-format off
#include <qlora/backend/cpu/simd/vector.inl>
#if defined(QLORA_SIMD_BF16)
#include <qlora/backend/cpu/simd/words.inl>
#endif
#include <qlora/backend/cpu/simd/transpose.inl>
#include <qlora/backend/cpu/simd/attention_rows.inl>
#if defined(QLORA_SIMD_AMX)
#include <qlora/backend/cpu/simd/tiles.inl>
#include <qlora/backend/cpu/simd/attention_words.inl>
#include <qlora/backend/cpu/simd/attention_amx.inl>
#elif defined(QLORA_SIMD_BF16)
#include <qlora/backend/cpu/simd/product.inl>
#include <qlora/backend/cpu/simd/attention_words.inl>
#include <qlora/backend/cpu/simd/attention_bf16.inl>
#else
#include <qlora/backend/cpu/simd/product.inl>
#include <qlora/backend/cpu/simd/rows.inl>
#include <qlora/backend/cpu/simd/codes.inl>
#include <qlora/backend/cpu/simd/attention.inl>
#include <qlora/backend/cpu/simd/lora.inl>
#endif
// clang-format on

#if defined(QLORA_SIMD_BF16)
constexpr Kernels<bf16> with_attention(Kernels<bf16> kernels) {
  kernels.attention = attention;
  kernels.attention_backward = attention_backward;
  return kernels;
}
inline constexpr auto table = with_attention(avx512::table<bf16>);
#else
template <class T>
inline constexpr auto table = Kernels<T>{
    .widen = widen<T>,
    .narrow = narrow<T>,
    .gelu = gelu<T>,
    .gelu_backward = gelu_backward<T>,
    .layer_norm = layer_norm<T>,
    .layer_norm_backward = layer_norm_backward,
    .rotary = rotary<T>,
    .attention = attention<T>,
    .attention_backward = attention_backward<T>,
    .lora_project = lora_project<T>,
    .lora_project_backward = lora_project_backward<T, float>,
    .lora_project_backward_rounded = lora_project_backward<T, T>,
    .lora_expand = lora_expand<T>,
    .lora_expand_backward = lora_expand_backward<T>,
    .dequantize4 = dequantize4<T>,
    .largest_magnitudes = largest_magnitudes,
    .quantize4 = quantize4,
};
#endif
}  // namespace qlora::inline v1::simd::QLORA_SIMD_LEVEL

#if defined(QLORA_SIMD_TARGET)
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef QLORA_SIMD_PRAGMA
#undef QLORA_SIMD_QUOTED_PRAGMA
#undef QLORA_SIMD_TARGET
#endif
#undef QLORA_SIMD_LEVEL
#undef QLORA_SIMD_BYTES
