/// Vectorised loops for float and bf16, computing in float, chosen when the program starts: the
/// same source is compiled for levels of x86-64 and for whatever other processor there is.
/// Functions work on raw pointers and on the calling thread; the bits of a row, or of a head, do
/// not depend on what else is computed, but may differ between levels.
#pragma once

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <concepts>
#include <cstdint>
#include <utility>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/dropout.hpp>
#include <qlora/core/memory.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::simd {

/// Rows that lie `stride` elements apart.
template <class T>
struct Strided {
  T* data = nullptr;
  Index stride = 0;

  T* row(Index i) const { return data + i * stride; }
};

/// A tile of rows that go through the stacked `a` (targets rank, columns) of LoRA targets.
struct LoraTile {
  Index rows, columns, targets, rank;
  Dropout dropout{};
  std::uint32_t first_site = 0;
  std::uint32_t const* samples = nullptr;   ///< (rows)
  std::int32_t const* positions = nullptr;  ///< (rows)

  Index ranks() const { return targets * rank; }
};

/// A tile of h (rows, rank) that is multiplied with b (columns, rank).
struct ExpandTile {
  Index rows, columns, rank;
  float scale;
};

/// Lengths of scratch rows are multiples of this, the longest vector.
inline constexpr Index row_multiple = 16;
/// Queries whose scores are in scratch at a time.
inline constexpr Index query_block = 32;

constexpr Index padded(Index count) {
  return round_up(count, row_multiple);
}
/// From row to row of keys: room for pairs of vectors, and an odd number of cache lines, since at
/// powers of two rows would evict each other.
constexpr Index padded_keys(Index length) {
  return round_up(length, 2 * row_multiple) + row_multiple;
}
/// Floats of scratch that a head needs, forward or backward.
constexpr Index attention_scratch(Index length, Index head_dim) {
  auto const keys = padded_keys(length);
  auto const features = padded(head_dim);
  return (2 * head_dim + 3 * features) * keys + query_block * (2 * keys + 3 * features);
}
/// Floats of scratch that a tile of LoRA needs, `ranks` being the rows of a or the columns of b.
constexpr Index lora_scratch(Index columns, Index ranks) {
  return (2 * ranks + 10) * padded(columns + 64);
}

/// Codes of 4 bits by rank: the code of a number that is above r of the 15 ascending `numbers` is
/// the r-th of `codes`.
struct Ladder {
  float numbers[16];  // the last is not used
  float codes[16];    // their bits are the codes
};

/// One level's functions; T is how activations are stored.
template <class T>
struct Kernels {
  /// y (n) = x.
  void (*widen)(T const* x, Index n, float* y);
  /// y (n) = x, rounded.
  void (*narrow)(float const* x, Index n, T* y);
  /// g (n) = u Phi(u).
  void (*gelu)(T const* u, Index n, T* g);
  /// du (n) = dg (Phi(u) + u phi(u)); du may be dg.
  void (*gelu_backward)(T const* u, T const* dg, Index n, T* du);
  /// y (n) = (x - mean) rstd gamma + beta; stats (2) = mean, rstd.
  void (*layer_norm)(float const* x, float const* gamma, float const* beta, float epsilon, Index n,
                     T* y, float* stats);
  /// dx (n) += the gradient of layer_norm at x.
  void (*layer_norm_backward)(float const* dy, float const* x, float const* gamma,
                              float const* stats, Index n, float* dx);
  /// Rotates each of a row's heads of 2 `half` elements by angles of which cosines and sines
  /// (half) are given, and multiplies by `scale`; inverse with sign = -1.
  void (*rotary)(T* row, Index heads, Index half, float const* cosines, float const* sines,
                 float scale, float sign);
  /// out (length, head_dim) = softmax(q k^T) v; lse (length) = log-sum-exp of q k^T.
  void (*attention)(Strided<T const> q, Strided<T const> k, Strided<T const> v, Index length,
                    Index head_dim, float* scratch, Strided<T> out, float* lse);
  /// dq, dk, dv (length, head_dim) = gradients, given out, its gradient and lse.
  void (*attention_backward)(Strided<T const> q, Strided<T const> k, Strided<T const> v,
                             Strided<T const> out, Strided<T const> dout, float const* lse,
                             Index length, Index head_dim, float* scratch, Strided<T> dq,
                             Strided<T> dk, Strided<T> dv);
  /// h (rows, ranks) = dropout(x) a^T.
  void (*lora_project)(LoraTile const& tile, Strided<T const> x, Strided<float const> a,
                       float* scratch, Strided<float> h);
  /// dx (rows, columns) += dropout'(dh a), left out where dx is null; da += dh^T dropout(x).
  void (*lora_project_backward)(LoraTile const& tile, Strided<T const> x, Strided<float const> a,
                                Strided<float const> dh, float* scratch, Strided<float> dx,
                                Strided<float> da);
  /// The same with a dx that is rounded to T after each target.
  void (*lora_project_backward_rounded)(LoraTile const& tile, Strided<T const> x,
                                        Strided<float const> a, Strided<float const> dh,
                                        float* scratch, Strided<T> dx, Strided<float> da);
  /// y (rows, columns) += scale h b^T.
  void (*lora_expand)(ExpandTile const& tile, Strided<float const> h, Strided<float const> b,
                      float* scratch, Strided<T> y);
  /// dh (rows, rank) = scale dy b; db += scale dy^T h.
  void (*lora_expand_backward)(ExpandTile const& tile, Strided<float const> h,
                               Strided<float const> b, Strided<T const> dy, float* scratch,
                               Strided<float> dh, Strided<float> db);
  /// out (n) = codebook (16) of each code, times the scale of its block: two codes a byte, the
  /// first one high, `block` an even number.
  void (*dequantize4)(std::uint8_t const* codes, Index n, Index block, float const* codebook,
                      float const* scales, T* out);
  /// The largest magnitude of each block of x (n); NaN counts as larger than infinity.
  void (*largest_magnitudes)(float const* x, Index n, Index block, float* magnitudes);
  /// codes (n / 2), two a byte, of x (n) times the factor of its block, clamped to [-1, 1]; n and
  /// `block` are even numbers.
  void (*quantize4)(float const* x, Index n, Index block, float const* factors, Ladder ladder,
                    std::uint8_t* codes);
};

/// The last two have products of bf16 numbers with sums in float, and multiply attention's so: of
/// vectors, and of tiles.
enum class Level { baseline, avx2, avx512, avx512_bf16, amx };

}  // namespace qlora::inline v1::simd

// A front end that knows no "GCC unroll" still hands it on to the compiler that does.
#if defined(__NVCC__)
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif

#define QLORA_SIMD_INLINE inline __attribute__((always_inline))

#define QLORA_SIMD_LEVEL baseline
#define QLORA_SIMD_BYTES 16
#include <qlora/backend/cpu/simd/level.inl>

#if defined(__x86_64__)
#define QLORA_SIMD_X86 1

#define QLORA_SIMD_LEVEL avx2
#define QLORA_SIMD_BYTES 32
#define QLORA_SIMD_TARGET "arch=x86-64-v3"
#include <qlora/backend/cpu/simd/level.inl>

#define QLORA_SIMD_LEVEL avx512
#define QLORA_SIMD_BYTES 64
#define QLORA_SIMD_TARGET "arch=x86-64-v4"
#include <qlora/backend/cpu/simd/level.inl>

#define QLORA_SIMD_LEVEL avx512_bf16
#define QLORA_SIMD_BYTES 64
#define QLORA_SIMD_TARGET "arch=x86-64-v4,avx512bf16"
#define QLORA_SIMD_BF16 1
#include <qlora/backend/cpu/simd/level.inl>

#define QLORA_SIMD_LEVEL amx
#define QLORA_SIMD_BYTES 64
#define QLORA_SIMD_TARGET "arch=x86-64-v4,avx512bf16,amx-tile,amx-bf16"
#define QLORA_SIMD_AMX 1
#include <qlora/backend/cpu/simd/level.inl>

#undef QLORA_SIMD_AMX
#undef QLORA_SIMD_BF16
#undef QLORA_SIMD_X86
#endif
#undef QLORA_SIMD_INLINE

#if defined(__NVCC__)
#pragma nv_diagnostic pop
#endif

namespace qlora::inline v1::simd {

/// Whether the processor's bf16 instruction does half of what float's do: Intel's since Sapphire
/// Rapids, which have their speed in AMX. False of other architectures.
inline bool bf16_is_slow() {
#if defined(__x86_64__)
  static auto const result = __builtin_cpu_is("intel") && __builtin_cpu_supports("avx512fp16");
  return result;
#else
  return false;
#endif
}

/// Whether the processor multiplies tiles of bf16 numbers, and the system lets this process.
inline bool has_amx() {
#if defined(__x86_64__) && defined(__linux__)
  static auto const result = [] {
    constexpr auto request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("amx-tile") &&
           __builtin_cpu_supports("amx-bf16") && ::syscall(SYS_arch_prctl, request, tile_data) == 0;
  }();
  return result;
#else
  return false;
#endif
}

/// The highest level that this processor has.
inline Level best_level() {
#if defined(__x86_64__)
  static auto const best = [] {
    if (!__builtin_cpu_supports("x86-64-v3")) return Level::baseline;
    if (!__builtin_cpu_supports("x86-64-v4")) return Level::avx2;
    if (has_amx()) return Level::amx;
    auto const has_bf16 = __builtin_cpu_supports("avx512bf16") && !bf16_is_slow();
    return has_bf16 ? Level::avx512_bf16 : Level::avx512;
  }();
  return best;
#else
  return Level::baseline;
#endif
}

/// The functions of a level; the processor must have it.
template <class T>
Kernels<T> const& kernels(Level level = best_level()) {
#if defined(__x86_64__)
  if constexpr (std::same_as<T, bf16>) {
    if (level == Level::amx) return amx::table;
    if (level == Level::avx512_bf16) return avx512_bf16::table;
  }
  if (level >= Level::avx512) return avx512::table<T>;
  if (level == Level::avx2) return avx2::table<T>;
#endif
  return baseline::table<T>;
}

}  // namespace qlora::inline v1::simd
