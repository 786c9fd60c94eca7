/// 8-bit integers with a scale for each row, the weights of LLM.int8() (Dettmers et al., NeurIPS
/// 2022), bit for bit as in bitsandbytes. Activations are not quantized.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include <qlora/core/host_device.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1 {

struct Int8 {
  static constexpr std::string_view name = "int8";
  static constexpr int bits = 8;
  static constexpr Index block = quant::per_row;
  static constexpr bool double_quantized = false;
  static constexpr float range = 127;

  /// The nearest number of half precision, in which bitsandbytes quantizes.
  static float prepare(float x) {
    auto const magnitude = std::fabs(x);
    if (magnitude >= 65520.f) return std::copysign(std::numeric_limits<float>::infinity(), x);
    if (magnitude < 0x1p-14f) return (x + .75f) - .75f;  // subnormal: a multiple of 2^-24
    auto const word = std::bit_cast<std::uint32_t>(x);   // else 10 bits of mantissa
    return std::bit_cast<float>((word + 0xfffu + ((word >> 13) & 1u)) & ~0x1fffu);
  }
  /// To the nearest, ties to even.
  QLORA_HOST_DEVICE static std::int8_t encode(float x) {
    return static_cast<std::int8_t>(std::rint(x));
  }
  QLORA_HOST_DEVICE static float decode(std::int8_t code) { return static_cast<float>(code); }
};

}  // namespace qlora::inline v1
