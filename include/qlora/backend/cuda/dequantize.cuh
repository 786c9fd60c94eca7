/// Expanding a quantized matrix on the device, to the same bits as on the host.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/stream.cuh>
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

/// Two neighbours, stored at once.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T first, second;
};

/// Tables that all threads of a block look up.
template <class S>
struct DequantizeShared {
  float codebook[codebook_size<S> + 1];
  float nested_map[256];
};

inline constexpr int dequantize_threads = 256;
inline constexpr int dequantize_pairs = 8;  ///< of elements, for each thread

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

/// out[0 ... size) = codebook[code] * scale, rounded to T. A thread expands pairs of neighbours, so
/// that with 4 bits it reads whole bytes, and neighbouring threads write neighbouring pairs.
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
  auto const aligned = reinterpret_cast<std::uintptr_t>(out) % sizeof(Pair<T>) == 0;
  auto pair = Index{blockIdx.x} * dequantize_pairs * blockDim.x + threadIdx.x;
  for (auto step = 0; step < dequantize_pairs; ++step, pair += blockDim.x) {
    auto const i = 2 * pair;
    if (i >= from.size) return;
    auto const both = i + 1 < from.size;
    auto const scale = scale_of(from, shared, block_of(from, i));
    auto next_scale = scale;
    if constexpr (S::block == quant::per_row || S::block % 2 != 0) {
      if (both) next_scale = scale_of(from, shared, block_of(from, i + 1));
    }
    auto values = Pair<T>{};
    if constexpr (S::bits == 4) {
      auto const byte = unsigned{from.codes[pair]};
      values = {element(static_cast<quant::Code<S>>(byte >> 4), scale),
                element(static_cast<quant::Code<S>>(byte & 15u), next_scale)};
    } else {
      auto const* const codes = reinterpret_cast<quant::Code<S> const*>(from.codes);
      values.first = element(codes[i], scale);
      if (both) values.second = element(codes[i + 1], next_scale);
    }
    if (both && aligned) {
      *reinterpret_cast<Pair<T>*>(out + i) = values;
    } else {
      out[i] = values.first;
      if (both) out[i + 1] = values.second;
    }
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
  constexpr auto tile = Index{2} * dequantize_pairs * dequantize_threads;
  auto const tiles = static_cast<unsigned>((out.size() + tile - 1) / tile);
  quant::with_scheme(matrix.scheme(), [&]<class Static>(Static) {
    launch(dequantize_kernel<Static, T>, dim3{tiles}, dim3{dequantize_threads}, stream,
           pointers<Static>(matrix.layout(), matrix.parts()), out.data());
  });
}

}  // namespace qlora::inline v1::cuda
