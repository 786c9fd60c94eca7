/// Quantized matrices from the tensors that bitsandbytes serializes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/quant/quantized.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1::quant {

/// The codebook of a scheme; empty for one that has none.
template <Quantization S>
std::span<float const> codebook(S const& scheme) {
  return with_scheme(scheme, []<class Static>(Static) -> std::span<float const> {
    if constexpr (WithCodebook<Static>) return Static::codebook;
    return {};
  });
}

/// The tensors beside a weight, named as bitsandbytes names them. 4-bit: codes, quant_map, and
/// either absmax or the four of double quantization. Int8: codes and absmax, which is SCB there.
struct Serialized {
  std::span<std::uint8_t const> codes;
  std::span<float const> absmax{};
  std::span<std::uint8_t const> absmax_codes{};
  std::span<float const> nested_absmax{};
  std::span<float const> nested_quant_map{};
  float nested_offset = 0;
  std::span<float const> quant_map{};
  Rounding rounding = Rounding::none;
};

/// A (rows, columns) matrix; `place` names the tensor and its file in errors. Throws InputError for
/// a wrong size, for a number that is not finite and for another codebook than the scheme's.
template <Quantization S>
Quantized<S> from_serialized(S const& scheme, Index rows, Index columns, Serialized const& stored,
                             std::string_view place) {
  auto const fail = [&](std::string const& what) { throw InputError{at(place, what)}; };
  auto const expect_finite = [&](std::span<float const> numbers, char const* what) {
    if (!std::ranges::all_of(numbers, [](float x) { return std::isfinite(x); })) {
      fail("expected finite numbers in " + std::string{what} + ", found NaN or infinity");
    }
  };
  if (!std::ranges::equal(stored.quant_map, codebook(scheme))) {
    fail("expected a quant_map with the codebook of " + std::string{scheme.name} +
         ", found another of " + std::to_string(stored.quant_map.size()) + " entries");
  }
  expect_finite(stored.absmax, "absmax");
  expect_finite(stored.nested_absmax, "nested_absmax");
  expect_finite(stored.nested_quant_map, "nested_quant_map");
  expect_finite({&stored.nested_offset, 1}, "nested_offset");

  auto const copy = []<class T>(std::span<T const> from) {
    auto to = VectorTensor<T>{{static_cast<Index>(from.size())}};
    std::ranges::copy(from, to.data());
    return to;
  };
  auto parts = Parts<Space::host>{.codes = copy(stored.codes),
                                  .scales = copy(stored.absmax),
                                  .scale_codes = copy(stored.absmax_codes),
                                  .nested_scales = copy(stored.nested_absmax),
                                  .nested_map = copy(stored.nested_quant_map),
                                  .offset = stored.nested_offset,
                                  .rounding = stored.rounding};
  try {
    return {scheme, rows, columns, std::move(parts)};
  } catch (ShapeError const& error) {
    throw InputError{at(place, error.what())};
  }
}

}  // namespace qlora::inline v1::quant
