/// Quantizing a matrix by any scheme. The bytes of Nf4, Fp4 and Int8 are those of bitsandbytes.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/backend/cpu/simd/kernels.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/quant/double_quantization.hpp>
#include <qlora/quant/normalize.hpp>
#include <qlora/quant/quantized.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1 {
namespace quant::detail {

/// Throws ShapeError unless `weight` can be quantized.
template <class V>
void check_dense(V const& weight) {
  if (weight.size() == 0 || !weight.is_dense()) {
    throw ShapeError{"quantize: expected a dense, non-empty matrix, got " + weight.shape() +
                     " with stride " + std::to_string(weight.stride())};
  }
}

/// Elements that one call of a parallel loop handles, roughly.
inline constexpr Index piece_elements = 16384;

/// Elements of a block; of a piece where there are none.
inline Index block_elements(Layout const& layout) {
  return layout.block == 0 ? piece_elements : layout.block;
}

/// Blocks that one call of a parallel loop handles.
constexpr Index piece_blocks(Index block) {
  return std::max(Index{1}, piece_elements / block);
}

/// Calls `body(blocks)` for ranges of blocks that cover the matrix, in parallel.
template <class Body>
void for_each_piece(Layout const& layout, Body&& body) {
  auto const length = block_elements(layout);
  parallel_rows(ceil_div(layout.size(), length), piece_blocks(length),
                [&](Rows blocks, int) { body(blocks); });
}

/// Calls `body(block, first element, elements)` for every block, in parallel.
template <class Body>
void for_each_block(Layout const& layout, Body&& body) {
  auto const length = block_elements(layout);
  for_each_piece(layout, [&](Rows blocks) {
    for (auto block = blocks.first; block < blocks.first + blocks.count; ++block) {
      auto const first = block * length;
      body(block, first, std::min(length, layout.size() - first));
    }
  });
}

/// The largest magnitude of prepared elements; NaN counts as larger than infinity.
template <class S>
float largest_magnitude(float const* x, Index count) {
  auto largest = std::uint32_t{0};
  for (auto i = Index{0}; i < count; ++i) largest = std::max(largest, magnitude_bits<S>(x[i]));
  return std::bit_cast<float>(largest);
}

/// Codes of elements [first, first + count), a block, into `codes`, which begin the matrix.
template <class S, class Normalize>
void encode_block(float const* x, Index first, Index count, Normalize&& normalize,
                  std::uint8_t* codes) {
  auto const code = [&](Index i) { return encode<S>(normalize(prepare<S>(x[first + i]))); };
  if constexpr (S::bits == 4) {
    for (auto i = Index{0}; i < count; i += 2) {  // an odd count is padded by a zero
      auto const low = i + 1 < count ? code(i + 1) : encode<S>(0.f);
      codes[(first + i) / 2] = static_cast<std::uint8_t>(code(i) << 4 | low);
    }
  } else {
    for (auto i = Index{0}; i < count; ++i) {
      auto const stored = code(i);
      std::memcpy(codes + (first + i) * Index{sizeof stored}, &stored, sizeof stored);
    }
  }
}

/// The refusal of a block with such an element; `first` and `last` are elements of it.
inline InputError not_finite(std::string_view scheme, Layout const& layout, Index first,
                             Index last) {
  return InputError{std::string{scheme} + " matrix of " + std::to_string(layout.rows) + "x" +
                    std::to_string(layout.columns) +
                    ": expected finite elements, found NaN, infinity or one too large in rows " +
                    std::to_string(first / layout.columns) + " to " +
                    std::to_string(last / layout.columns)};
}

/// Throws InputError for a block of elements [first, first + count) with one that is not finite.
inline void expect_finite(std::string_view scheme, Layout const& layout, float largest, Index first,
                          Index count) {
  if (largest <= std::numeric_limits<float>::max()) return;
  throw not_finite(scheme, layout, first, first + count - 1);
}

/// Codes, and scales before double quantization, of every block for itself: the reference.
template <class S>
void encode_blocks(float const* x, Layout const& layout, std::uint8_t* codes, float* scales) {
  for_each_block(layout, [&](Index block, Index first, Index count) {
    auto const largest = largest_magnitude<S>(x + first, count);
    expect_finite(S::name, layout, largest, first, count);
    auto const encode_scaled = [&](auto const& normalize) {
      scales[block] = normalize.scale();
      encode_block<S>(x, first, count, normalize, codes);
    };
    if constexpr (S::block == unscaled) {
      encode_block<S>(x, first, count, Unscaled{}, codes);
    } else if (count == layout.block) {
      encode_scaled(WholeBlock<S>{largest});
    } else {
      encode_scaled(ShortBlock<S>{largest});
    }
  });
}

/// Whose codes are steps of a ladder, which all elements climb at once.
template <class S>
concept FourBitCodebook = WithCodebook<S> && S::bits == 4 && range<S> == 1.f && !requires {
  S::prepare(0.f);
};

template <FourBitCodebook S>
constexpr simd::Ladder make_ladder() {
  constexpr auto const& ranks = ranks_of<S>;
  auto ladder = simd::Ladder{};
  std::ranges::copy(ranks.midpoints, ladder.numbers);
  std::ranges::transform(ranks.codes, ladder.codes, [](std::uint8_t code) {
    return std::bit_cast<float>(std::uint32_t{code});
  });
  return ladder;
}

/// As `encode_blocks`, for many blocks at once.
template <FourBitCodebook S>
void climb_ladder(float const* x, Layout const& layout, std::uint8_t* codes, float* scales) {
  static constexpr auto ladder = make_ladder<S>();
  auto const& kernels = simd::kernels<float>();
  for_each_piece(layout, [&](Rows blocks) {
    auto const begin = blocks.first * S::block;
    auto const count = std::min(blocks.count * S::block, layout.size() - begin);
    auto* const largest = scales + blocks.first;
    kernels.largest_magnitudes(x + begin, count, S::block, largest);
    auto factors = std::array<float, piece_blocks(S::block)>{};
    for (auto i = Index{0}; i < blocks.count; ++i) {
      auto const first = begin + i * S::block;
      expect_finite(S::name, layout, largest[i], first, std::min(S::block, begin + count - first));
      factors[static_cast<std::size_t>(i)] = WholeBlock<S>{largest[i]}.factor();
    }
    auto const whole = count / S::block * S::block;
    kernels.quantize4(x + begin, whole, S::block, factors.data(), ladder, codes + begin / 2);
    if (whole == count) return;
    auto const last = ShortBlock<S>{largest[blocks.count - 1]};
    largest[blocks.count - 1] = last.scale();
    encode_block<S>(x, begin + whole, count - whole, last, codes);
  });
}

template <class S>
void encode_matrix(float const* x, Layout const& layout, std::uint8_t* codes, float* scales) {
  if constexpr (FourBitCodebook<S>) {
    climb_ladder<S>(x, layout, codes, scales);
  } else {
    encode_blocks<S>(x, layout, codes, scales);
  }
}

/// The mean of all scales in double, in an order that threads of a kernel can keep: first within
/// each nested block.
inline float mean_scale(Vector<float const> scales) {
  auto total = 0.;
  for (auto first = Index{0}; first < scales.size(); first += nested_block) {
    auto sum = 0.;
    for (auto i = first; i < std::min(first + nested_block, scales.size()); ++i) {
      sum += double{scales[i]};
    }
    total += sum;
  }
  return static_cast<float>(total / static_cast<double>(scales.size()));
}

/// Replaces scales by their double quantization.
inline void double_quantize(Parts<Space::host>& parts, std::optional<float> offset) {
  auto const scales = parts.scales.view();
  auto const blocks = scales.size();
  parts.offset = offset ? *offset : mean_scale(scales);
  parts.scale_codes = VectorTensor<std::uint8_t>{{blocks}};
  parts.nested_scales = VectorTensor<float>{{ceil_div(blocks, nested_block)}};
  parts.nested_map = VectorTensor<float>{{256}};
  std::ranges::copy(dynamic_map, parts.nested_map.data());
  parallel_for(parts.nested_scales.size(), [&](Index nested, int) {
    auto const first = nested * nested_block;
    auto const last = std::min(first + nested_block, blocks);
    auto largest = 0.f;
    for (auto i = first; i < last; ++i) {
      largest = std::max(largest, std::fabs(scales[i] - parts.offset));
    }
    parts.nested_scales.data()[nested] = largest;
    for (auto i = first; i < last; ++i) {
      parts.scale_codes.data()[i] =
          encode_scale(scales[i], parts.offset, largest, dynamic_ranks.midpoints.data());
    }
  });
  parts.scales = {};
}

}  // namespace quant::detail

/// Quantizes a dense matrix. `offset`, where scales are double-quantized, is by default their mean,
/// summed in double; bitsandbytes' float sum may end two units in the last place away, and with its
/// offset every byte is the same. Throws ShapeError unless the matrix is dense and not empty, and
/// InputError for an element that is not finite (or not in half precision, for Int8).
template <class S>
Quantized<S> quantize(S const& scheme, Matrix<float const> weight,
                      std::optional<float> offset = std::nullopt) {
  static_assert(quant::check_scheme<S>());
  quant::detail::check_dense(weight);
  auto const layout = quant::with_scheme(scheme, [&](auto const& known) {
    return quant::layout_of(known, weight.rows(), weight.columns());
  });
  auto parts = quant::Parts<Space::host>{.codes = VectorTensor<std::uint8_t>{{layout.code_bytes}},
                                         .scales = VectorTensor<float>{{layout.blocks}}};
  quant::with_scheme(scheme, [&]<class Static>(Static) {
    quant::detail::encode_matrix<Static>(weight.data(), layout, parts.codes.data(),
                                         parts.scales.data());
  });
  if (scheme.double_quantized) quant::detail::double_quantize(parts, offset);
  return {scheme, weight.rows(), weight.columns(), std::move(parts)};
}

}  // namespace qlora::inline v1
