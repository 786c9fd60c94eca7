/// Expanding a quantized matrix on the host: the reference for kernels, exact to the bit.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include <qlora/core/parallel.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/quant/quantize.hpp>
#include <qlora/quant/quantized.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1 {
namespace quant::detail {

/// Values of both codes in each byte.
template <class S>
std::array<std::array<float, 2>, 256> const& pairs() {
  static auto const table = [] {
    auto pairs = std::array<std::array<float, 2>, 256>{};
    for (auto byte = 0u; byte < 256; ++byte) {
      pairs[byte] = {decode<S>(static_cast<Code<S>>(byte >> 4)),
                     decode<S>(static_cast<Code<S>>(byte & 15))};
    }
    return pairs;
  }();
  return table;
}

/// Values of codes [first, first + count), `first` even if two share a byte.
template <class S>
void decode_values(std::uint8_t const* codes, Index first, Index count, float* values) {
  if constexpr (S::bits == 4) {
    auto const& table = pairs<S>();
    auto const* const bytes = codes + first / 2;
    for (auto i = Index{0}; i < count / 2; ++i) {
      std::memcpy(values + 2 * i, table[bytes[i]].data(), sizeof table[0]);
    }
    if (count % 2 != 0) values[count - 1] = table[bytes[count / 2]][0];
  } else {
    for (auto i = Index{0}; i < count; ++i) {
      auto code = Code<S>{};
      std::memcpy(&code, codes + (first + i) * Index{sizeof code}, sizeof code);
      values[i] = decode<S>(code);
    }
  }
}

template <class S, class T>
void dequantize(Layout const& layout, Parts<Space::host> const& parts, T* out) {
  for_each_block(layout, [&](Index block, Index first, Index count) {
    auto scale = 1.f;
    if (parts.double_quantized()) {
      scale = nested_scale(parts.nested_map.data()[parts.scale_codes.data()[block]],
                           parts.nested_scales.data()[block / nested_block], parts.offset);
    } else if (S::block != unscaled) {
      scale = parts.scales.data()[block];
    }
    // Whole chunks, even where the block ends: loops of a fixed length become vector instructions.
    constexpr auto chunk = std::size_t{64};
    auto values = std::array<float, chunk>{};
    auto converted = std::array<T, chunk>{};
    for (auto done = Index{0}; done < count; done += Index{chunk}) {
      auto const some = std::min(Index{chunk}, count - done);
      decode_values<S>(parts.codes.data(), first + done, some, values.data());
      for (auto& value : values) value = scaled<S>(value, scale);
      if (parts.rounding != Rounding::none) {
        for (auto& value : values) value = rounded(value, parts.rounding);
      }
      for (auto i = std::size_t{0}; i < chunk; ++i) converted[i] = convert<T>(values[i]);
      std::copy_n(converted.data(), some, out + first + done);
    }
  });
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
