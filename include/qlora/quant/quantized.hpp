/// A quantized weight matrix in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/host_device.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/quant/double_quantization.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1 {

namespace quant {

/// What an expanded element is rounded to before anything else: bitsandbytes' dequantize_4bit, and
/// with it merging and gradients, expands a matrix to the type that it was quantized from. (Its
/// fused forward product, since 0.50, expands to the activations' type.)
enum class Rounding : std::uint8_t { none, half, bf16 };

QLORA_HOST_DEVICE inline float rounded(float x, Rounding rounding) {
  if (rounding == Rounding::half) return round_to_half(x);
  if (rounding == Rounding::bf16) return static_cast<float>(bf16{x});
  return x;
}

/// What is stored of a matrix whose n elements, row-major, lie in b blocks.
template <Space M>
struct Parts {
  VectorTensor<std::uint8_t, M> codes{};        ///< bytes: n codes; 4-bit ones in pairs, first high
  VectorTensor<float, M> scales{};              ///< (b) or, where they are double-quantized, empty
  VectorTensor<std::uint8_t, M> scale_codes{};  ///< (b) indices into nested_map
  VectorTensor<float, M> nested_scales{};       ///< (b / 256, rounded up)
  VectorTensor<float, M> nested_map{};          ///< (256)
  float offset = 0;                             ///< added to every double-quantized scale
  Rounding rounding = Rounding::none;

  bool double_quantized() const { return scale_codes.size() != 0; }
};

/// How many of everything a scheme stores for a matrix.
struct Layout {
  Index rows = 0, columns = 0;
  Index block = 0;  ///< elements that share a scale; 0 without scales
  Index blocks = 0;
  Index code_bytes = 0;

  Index size() const { return rows * columns; }
  Index nested_blocks() const { return ceil_div(blocks, nested_block); }
};

template <Quantization S>
Layout layout_of(S const& scheme, Index rows, Index columns) {
  auto layout = Layout{.rows = rows, .columns = columns};
  if (scheme.block == per_row) {
    layout.block = columns;
    layout.blocks = rows;
  } else if (scheme.block != unscaled) {
    layout.block = scheme.block;
    layout.blocks = ceil_div(layout.size(), layout.block);
  }
  layout.code_bytes = ceil_div(layout.size() * scheme.bits, 8);
  return layout;
}

/// Memory that a (rows, columns) matrix takes when it is quantized by this scheme.
template <Quantization S>
Index stored_bytes(S const& scheme, Index rows, Index columns) {
  constexpr auto number = Index{sizeof(float)};
  auto const layout = layout_of(scheme, rows, columns);
  if (!scheme.double_quantized) return layout.code_bytes + number * layout.blocks;
  return layout.code_bytes + layout.blocks + number * (layout.nested_blocks() + 256);
}

}  // namespace quant

/// A (rows, columns) matrix stored as `Scheme` says, in memory space M; move-only.
template <class Scheme, Space M = Space::host>
class Quantized {
  static_assert(quant::check_scheme<Scheme>());

 public:
  static constexpr Space space = M;

  Quantized() = default;
  /// Throws ShapeError unless the parts have the sizes that a (rows, columns) matrix needs; scales
  /// may be plain or double-quantized whatever the scheme itself does.
  Quantized(Scheme const& scheme, Index rows, Index columns, quant::Parts<M> parts)
      : scheme_{scheme},
        layout_{quant::layout_of(scheme, rows, columns)},
        parts_{std::move(parts)} {
    auto const expect = [&](auto const& part, Index size, char const* what) {
      if (part.size() != size) {
        throw ShapeError{std::string{scheme.name} + " matrix of " + std::to_string(rows) + "x" +
                         std::to_string(columns) + ": expected " + std::to_string(size) + " " +
                         what + ", got " + std::to_string(part.size())};
      }
    };
    auto const nested = parts_.double_quantized();
    expect(parts_.codes, layout_.code_bytes, "bytes of codes");
    expect(parts_.scales, nested ? 0 : layout_.blocks, "scales");
    expect(parts_.scale_codes, nested ? layout_.blocks : 0, "double-quantized scales");
    expect(parts_.nested_scales, nested ? layout_.nested_blocks() : 0, "nested scales");
    expect(parts_.nested_map, nested ? 256 : 0, "entries of the nested map");
  }

  Scheme const& scheme() const { return scheme_; }
  quant::Layout const& layout() const { return layout_; }
  quant::Parts<M> const& parts() const { return parts_; }
  Index rows() const { return layout_.rows; }
  Index columns() const { return layout_.columns; }
  Index size() const { return layout_.size(); }

  /// Memory that the parts take.
  Index bytes() const {
    return parts_.codes.size() + parts_.scale_codes.size() +
           Index{sizeof(float)} *
               (parts_.scales.size() + parts_.nested_scales.size() + parts_.nested_map.size());
  }

  /// The parts, read-only.
  Vector<std::uint8_t const, M> codes() const { return parts_.codes; }
  Vector<float const, M> scales() const { return parts_.scales; }
  Vector<std::uint8_t const, M> scale_codes() const { return parts_.scale_codes; }
  Vector<float const, M> nested_scales() const { return parts_.nested_scales; }
  Vector<float const, M> nested_map() const { return parts_.nested_map; }
  float offset() const { return parts_.offset; }

  /// The weights themselves, where they are stored as T: what need not be dequantized.
  template <class T>
  std::optional<Matrix<T const, M>> plain() const {
    auto const stored_as_t = quant::with_scheme(scheme_, []<class S>(S) {
      return S::block == quant::unscaled && std::is_same_v<quant::Code<S>, T>;
    });
    if (!stored_as_t) return std::nullopt;
    return Matrix<T const, M>{reinterpret_cast<T const*>(parts_.codes.data()), {rows(), columns()}};
  }

 private:
  Scheme scheme_{};
  quant::Layout layout_;
  quant::Parts<M> parts_;
};

/// A copy of a matrix in another memory space.
template <Space To, class Scheme, Space From>
Quantized<Scheme, To> copied_to(Quantized<Scheme, From> const& matrix) {
  auto const& parts = matrix.parts();
  return {matrix.scheme(), matrix.rows(), matrix.columns(),
          quant::Parts<To>{.codes = copied_to<To>(parts.codes.view()),
                           .scales = copied_to<To>(parts.scales.view()),
                           .scale_codes = copied_to<To>(parts.scale_codes.view()),
                           .nested_scales = copied_to<To>(parts.nested_scales.view()),
                           .nested_map = copied_to<To>(parts.nested_map.view()),
                           .offset = parts.offset,
                           .rounding = parts.rounding}};
}

/// The matrix itself where it is in that space already, else a copy.
template <Space To, class Scheme, Space From>
Quantized<Scheme, To> moved_to(Quantized<Scheme, From> matrix) {
  if constexpr (To == From) {
    return matrix;
  } else {
    return copied_to<To>(matrix);
  }
}

}  // namespace qlora::inline v1
