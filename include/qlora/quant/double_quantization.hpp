/// Double quantization: scales less their mean, in blocks of 256, as 8-bit codes of the signed
/// dynamic map (Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include <qlora/core/host_device.hpp>
#include <qlora/core/memory.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1::quant {

/// Scales that share a nested scale.
inline constexpr Index nested_block = 256;

namespace detail {

/// 0, 1, and for each power of ten from 1e-6 to 1 twice as many values as for the one below, evenly
/// spaced in a tenth of it to the whole, with both signs. In float, as bitsandbytes computes it.
consteval std::array<float, 256> make_dynamic_map() {
  auto map = std::array<float, 256>{0.f, 1.f};
  auto used = std::size_t{2};
  constexpr auto powers = std::array{1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.f};
  for (auto i = std::size_t{0}; i < powers.size(); ++i) {
    auto const intervals = 1 << i;
    auto const step = double{(1.f - .1f) / static_cast<float>(intervals)};
    auto const boundary = [&](int at) {  // from the nearer end, so that both ends are exact
      return static_cast<float>(at < (intervals + 1) / 2 ? double{.1f} + step * at
                                                         : 1. - step * (intervals - at));
    };
    for (auto at = 0; at < intervals; ++at) {
      auto const value = powers[i] * ((boundary(at) + boundary(at + 1)) / 2);
      map[used++] = value;
      map[used++] = -value;
    }
  }
  std::ranges::sort(map);
  return map;
}

}  // namespace detail

inline constexpr std::array<float, 256> dynamic_map = detail::make_dynamic_map();

namespace detail {
inline constexpr auto dynamic_ranks = rank(dynamic_map);  // whose codes are 0, 1, ... 255
}

/// The code nearest to x in [-1, 1], which is first rounded to a multiple of 2 / 65535 as
/// bitsandbytes' CPU library does, given the 255 midpoints of the map.
QLORA_HOST_DEVICE inline std::uint8_t encode_dynamic(float x, float const* midpoints) {
  auto const clamped = x > -1.f ? (x < 1.f ? x : 1.f) : -1.f;
  auto const tick = std::floor(multiply_then_add((clamped + 1.f) * .5f, 65535.f, .5f));
  return static_cast<std::uint8_t>(count_below<255>(midpoints, -1.f + 2.f * tick / 65535.f));
}
inline std::uint8_t encode_dynamic(float x) {
  return encode_dynamic(x, detail::dynamic_ranks.midpoints.data());
}

/// The code of a scale, given the mean of all and the largest distance from it in its nested block.
QLORA_HOST_DEVICE inline std::uint8_t encode_scale(float scale, float offset, float largest,
                                                   float const* midpoints) {
  return largest == 0.f ? std::uint8_t{0}
                        : encode_dynamic((scale - offset) * (1.f / largest), midpoints);
}

/// A scale from its parts.
QLORA_HOST_DEVICE inline float nested_scale(float value, float nested, float offset) {
  return multiply_then_add(value, nested, offset);
}

}  // namespace qlora::inline v1::quant
