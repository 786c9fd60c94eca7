/// Expanding a quantized matrix on the device, to the same bits as on the host.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/pack.cuh>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/rounding.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/quant/quantized.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1::cuda {

template <class S>
inline constexpr int codebook_size = quant::WithCodebook<S> ? 1 << S::bits : 0;

/// What the kernel reads: a matrix of `size` elements in blocks of `block`.
template <class S>
struct QuantizedPointers {
  std::uint8_t const* codes;
  float const* scales;  ///< null where they are double-quantized
  std::uint8_t const* scale_codes;
  float const* nested_scales;
  float const* nested_map;
  float offset;
  quant::Rounding rounding;
  Index size;
  Index block;
  float codebook[codebook_size<S> + 1];  ///< used by schemes that have one
};

template <class S>
QuantizedPointers<S> pointers(quant::Layout const& layout,
                              quant::Parts<Space::device> const& parts) {
  auto pointers = QuantizedPointers<S>{.codes = parts.codes.data(),
                                       .scales = parts.scales.data(),
                                       .scale_codes = parts.scale_codes.data(),
                                       .nested_scales = parts.nested_scales.data(),
                                       .nested_map = parts.nested_map.data(),
                                       .offset = parts.offset,
                                       .rounding = parts.rounding,
                                       .size = layout.size(),
                                       .block = layout.block,
                                       .codebook = {}};
  if constexpr (quant::WithCodebook<S>) {
    for (auto i = 0; i < codebook_size<S>; ++i) {
      pointers.codebook[i] = S::codebook[static_cast<std::size_t>(i)];
    }
  }
  return pointers;
}

/// Tables that all threads of a block look up.
template <class S>
struct DequantizeShared {
  float codebook[codebook_size<S> + 1];
  float nested_map[256];
};

inline constexpr int dequantize_threads = 256;
inline constexpr int dequantize_octets = 2;  ///< for each thread

/// The scale of a block of elements.
template <class S>
__device__ float scale_of(QuantizedPointers<S> const& from, DequantizeShared<S> const& shared,
                          Index block) {
  if (S::block == quant::unscaled) return 1;
  if (from.scales != nullptr) return from.scales[block];
  return quant::nested_scale(shared.nested_map[from.scale_codes[block]],
                             from.nested_scales[block / quant::nested_block], from.offset);
}

/// The block of element i: a shift where the size is known.
template <class S>
__device__ Index block_of(QuantizedPointers<S> const& from, Index i) {
  if constexpr (S::block > 0) return i / S::block;
  if constexpr (S::block == quant::per_row) return i / from.block;
  return 0;
}

/// Codes of elements i ... + 7, of which there are fewer at the end; all by one read if `whole`.
template <class S>
__device__ Pack<quant::Code<S>> load_codes(QuantizedPointers<S> const& from, Index i, bool whole) {
  using Code = quant::Code<S>;
  Pack<Code> codes{};
  if constexpr (S::bits == 4) {
    Pack<std::uint8_t, octet_size / 2> bytes{};
    auto const* const first = from.codes + i / 2;
    if (whole) {
      bytes = *reinterpret_cast<decltype(bytes) const*>(first);
    } else {
      for (auto k = 0; k < octet_size / 2 && i + Index{2} * k < from.size; ++k)
        bytes.values[k] = first[k];
    }
    QLORA_UNROLL
    for (auto k = 0; k < octet_size; ++k) {
      auto const byte = unsigned{bytes.values[k / 2]};
      codes.values[k] = static_cast<Code>(k % 2 == 0 ? byte >> 4 : byte & 15u);
    }
  } else {
    auto const* const first = reinterpret_cast<Code const*>(from.codes) + i;
    if (whole) return *reinterpret_cast<Pack<Code> const*>(first);
    for (auto k = 0; k < octet_size && i + k < from.size; ++k) codes.values[k] = first[k];
  }
  return codes;
}

/// out[0 ... size) = codebook[code] * scale, rounded to T; a thread expands some octets.
template <class S, class T>
__global__ void dequantize_kernel(QuantizedPointers<S> from, T* out) {
  auto& shared = shared_storage<DequantizeShared<S>>();
  if constexpr (quant::WithCodebook<S>) {
    for (auto i = static_cast<int>(threadIdx.x); i < codebook_size<S>;
         i += static_cast<int>(blockDim.x)) {
      shared.codebook[i] = from.codebook[i];
    }
  }
  if (from.scale_codes != nullptr) {
    for (auto i = threadIdx.x; i < 256; i += blockDim.x) shared.nested_map[i] = from.nested_map[i];
  }
  __syncthreads();

  auto const element = [&](quant::Code<S> code, float scale) {
    auto value = 0.f;
    if constexpr (quant::WithCodebook<S>) {
      value = shared.codebook[code];
    } else {
      value = S::decode(code);
    }
    return convert<T>(quant::rounded(quant::scaled<S>(value, scale), from.rounding));
  };
  // One scale an octet, where blocks are so.
  auto const whole_octets = S::block > 0
                                ? S::block % octet_size == 0
                                : S::block == quant::unscaled || from.block % octet_size == 0;
  auto const aligned =
      (reinterpret_cast<std::uintptr_t>(out) | reinterpret_cast<std::uintptr_t>(from.codes)) % 16 ==
      0;
  auto octet = Index{blockIdx.x} * dequantize_octets * blockDim.x + threadIdx.x;
  for (auto step = 0; step < dequantize_octets; ++step, octet += blockDim.x) {
    auto const i = octet * octet_size;
    if (i >= from.size) return;
    auto const whole = aligned && i + octet_size <= from.size;
    auto const codes = load_codes<S>(from, i, whole);
    auto scale = scale_of(from, shared, block_of(from, i));
    Pack<T> values;
    QLORA_UNROLL
    for (auto k = 0; k < octet_size; ++k) {
      if (i + k >= from.size) break;
      if (k > 0 && !whole_octets) scale = scale_of(from, shared, block_of(from, i + k));
      values.values[k] = element(codes.values[k], scale);
      if (!whole) out[i + k] = values.values[k];
    }
    if (whole) *reinterpret_cast<Pack<T>*>(out + i) = values;
  }
}

/// out (rows, columns) = the matrix, in the order of `stream`. Throws ShapeError unless `out` is
/// dense and of the matrix's shape.
template <class S, class T>
void dequantize(Quantized<S, Space::device> const& matrix, Matrix<T, Space::device> out,
                Stream const& stream) {
  expect_shape(out, {matrix.rows(), matrix.columns()}, "dequantize: output");
  if (!out.is_dense()) {
    throw ShapeError{"dequantize: expected a dense output of " + out.shape() + ", got stride " +
                     std::to_string(out.stride())};
  }
  if (out.size() == 0) return;
  constexpr auto tile = Index{octet_size} * dequantize_octets * dequantize_threads;
  auto const tiles = static_cast<unsigned>(ceil_div(out.size(), tile));
  quant::with_scheme(matrix.scheme(), [&]<class Static>(Static) {
    launch(dequantize_kernel<Static, T>, dim3{tiles}, dim3{dequantize_threads}, stream,
           pointers<Static>(matrix.layout(), matrix.parts()), out.data());
  });
}

}  // namespace qlora::inline v1::cuda
