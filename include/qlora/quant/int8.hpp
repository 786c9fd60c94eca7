/// 8-bit integers with a scale for each row, the weights of LLM.int8() (Dettmers et al., NeurIPS
/// 2022), bit for bit as in bitsandbytes. Activations are not quantized.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include <qlora/core/host_device.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1 {

struct Int8 {
  static constexpr std::string_view name = "int8";
  static constexpr int bits = 8;
  static constexpr Index block = quant::per_row;
  static constexpr bool double_quantized = false;
  static constexpr float range = 127;

  /// Half precision, in which bitsandbytes quantizes.
  QLORA_HOST_DEVICE static float prepare(float x) { return round_to_half(x); }
  /// To the nearest, ties to even.
  QLORA_HOST_DEVICE static std::int8_t encode(float x) {
    return static_cast<std::int8_t>(std::rint(x));
  }
  QLORA_HOST_DEVICE static float decode(std::int8_t code) { return static_cast<float>(code); }
};

}  // namespace qlora::inline v1
