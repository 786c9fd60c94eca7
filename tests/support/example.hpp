/// A matrix to quantize, and a scheme that is no built-in one.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include <qlora/core/host_device.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::testing {

/// (rows, columns) with magnitudes that differ from block to block.
inline MatrixTensor<float> example(Index rows, Index columns) {
  auto x = MatrixTensor<float>{{rows, columns}};
  for (auto i = Index{0}; i < x.size(); ++i) {
    auto const angle = static_cast<float>(i);
    x.data()[i] = std::sin(angle * 1.7f) * (1 + std::cos(angle * .01f));
  }
  return x;
}

/// A user's scheme: blocks of three bytes, so that pairs of elements straddle them.
struct Thirds {
  static constexpr std::string_view name = "thirds";
  static constexpr int bits = 8;
  static constexpr Index block = 3;
  static constexpr bool double_quantized = true;
  QLORA_HOST_DEVICE static std::uint8_t encode(float x) {
    return static_cast<std::uint8_t>(std::rint((x + 1) * 127.5f));
  }
  QLORA_HOST_DEVICE static float decode(std::uint8_t code) {
    return static_cast<float>(code) / 127.5f - 1;
  }
};

}  // namespace qlora::testing
