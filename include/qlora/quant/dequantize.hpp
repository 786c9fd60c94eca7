/// Expanding a quantized matrix on the host: the reference for kernels, exact to the bit.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>

#include <qlora/backend/cpu/simd/kernels.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/quant/full.hpp>
#include <qlora/quant/quantize.hpp>
#include <qlora/quant/quantized.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1 {
namespace quant::detail {

/// The value of element `i`.
template <class S>
float decode_element(std::uint8_t const* codes, Index i) {
  if constexpr (S::bits == 4) {
    auto const byte = codes[i / 2];
    return decode<S>(static_cast<Code<S>>(i % 2 == 0 ? byte >> 4 : byte & 15));
  } else {
    auto code = Code<S>{};
    std::memcpy(&code, codes + i * Index{sizeof code}, sizeof code);
    return decode<S>(code);
  }
}

/// What a block's values are multiplied with; 1 in a matrix without scales.
template <class S>
float scale_of(Parts<Space::host> const& parts, Index block) {
  if (parts.double_quantized()) {
    return nested_scale(parts.nested_map.data()[parts.scale_codes.data()[block]],
                        parts.nested_scales.data()[block / nested_block], parts.offset);
  }
  return S::block == unscaled ? 1.f : parts.scales.data()[block];
}

/// Element by element, for any scheme.
template <class S, class T>
void expand_elements(Layout const& layout, Parts<Space::host> const& parts, T* out) {
  for_each_block(layout, [&](Index block, Index first, Index count) {
    auto const scale = scale_of<S>(parts, block);
    // Whole chunks, even where the block ends: loops of a fixed length become vector instructions.
    constexpr auto chunk = std::size_t{64};
    auto values = std::array<float, chunk>{};
    auto converted = std::array<T, chunk>{};
    for (auto done = Index{0}; done < count; done += Index{chunk}) {
      auto const some = static_cast<std::size_t>(std::min(Index{chunk}, count - done));
      for (auto i = std::size_t{0}; i < some; ++i) {
        values[i] = decode_element<S>(parts.codes.data(), first + done + static_cast<Index>(i));
      }
      for (auto& value : values) value = scaled<S>(value, scale);
      if (parts.rounding != Rounding::none) {
        for (auto& value : values) value = rounded(value, parts.rounding);
      }
      for (auto i = std::size_t{0}; i < chunk; ++i) converted[i] = convert<T>(values[i]);
      std::copy_n(converted.data(), some, out + first + done);
    }
  });
}

template <class T>
concept Vectorised = std::same_as<T, float> || std::same_as<T, bf16>;

/// Floats as they are.
template <Vectorised T>
void convert_floats(Layout const& layout, Parts<Space::host> const& parts, T* out) {
  auto const* const values = reinterpret_cast<float const*>(parts.codes.data());
  for_each_block(layout, [&](Index, Index first, Index count) {
    simd::kernels<T>().narrow(values + first, count, out + first);
  });
}

template <class S>
concept FourBit = S::bits == 4 && range<S> == 1.f;

/// A look-up in the scheme's 16 values.
template <FourBit S, Vectorised T>
void look_up(Layout const& layout, Parts<Space::host> const& parts, T* out) {
  auto codebook = std::array<float, 16>{};
  for (auto code = std::size_t{0}; code < codebook.size(); ++code) {
    codebook[code] = decode<S>(static_cast<Code<S>>(code));
  }
  for_each_piece(layout, [&](Rows blocks) {
    auto scales = std::array<float, piece_blocks(S::block)>{};
    for (auto i = Index{0}; i < blocks.count; ++i) {
      scales[static_cast<std::size_t>(i)] = scale_of<S>(parts, blocks.first + i);
    }
    auto const first = blocks.first * S::block;
    auto const count = std::min(blocks.count * S::block, layout.size() - first);
    simd::kernels<T>().dequantize4(parts.codes.data() + first / 2, count, S::block, codebook.data(),
                                   scales.data(), out + first);
  });
}

template <class S, class T>
void dequantize(Layout const& layout, Parts<Space::host> const& parts, T* out) {
  if constexpr (std::same_as<S, Full<float>> && Vectorised<T>) {
    convert_floats(layout, parts, out);
  } else if constexpr (FourBit<S> && Vectorised<T>) {
    if (parts.rounding == Rounding::none) return look_up<S>(layout, parts, out);
    expand_elements<S>(layout, parts, out);
  } else {
    expand_elements<S>(layout, parts, out);
  }
}

}  // namespace quant::detail

/// out (rows, columns) = the matrix: codebook[code] * scale in float, rounded as the parts say,
/// then to T. Throws ShapeError unless `out` is dense and of the matrix's shape.
template <class S, class T>
void dequantize(Quantized<S> const& matrix, Matrix<T> out) {
  expect_shape(out, {matrix.rows(), matrix.columns()}, "dequantize: output");
  if (!out.is_dense()) {
    throw ShapeError{"dequantize: expected a dense output of " + out.shape() + ", got stride " +
                     std::to_string(out.stride())};
  }
  quant::with_scheme(matrix.scheme(), [&]<class Static>(Static) {
    quant::detail::dequantize<Static>(matrix.layout(), matrix.parts(), out.data());
  });
}

}  // namespace qlora::inline v1
