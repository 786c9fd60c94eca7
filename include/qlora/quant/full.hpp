/// No quantization: weights kept as T.
#pragma once

#include <concepts>
#include <string_view>

#include <qlora/core/host_device.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1 {

template <class T>
requires std::same_as<T, float> || std::same_as<T, bf16>
struct Full {
  static constexpr std::string_view name = std::same_as<T, float> ? "none" : "bf16";
  static constexpr int bits = 8 * sizeof(T);
  static constexpr Index block = quant::unscaled;
  static constexpr bool double_quantized = false;

  QLORA_HOST_DEVICE static T encode(float x) { return convert<T>(x); }
  QLORA_HOST_DEVICE static float decode(T code) { return convert<float>(code); }
};

}  // namespace qlora::inline v1
