/// What a block's elements are divided by before they are encoded, in the operations and the order
/// that bitsandbytes has.
#pragma once

#include <bit>
#include <cstdint>

#include <qlora/core/host_device.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1::quant {

/// The magnitude of a prepared element, which keeps its order as an integer.
template <class S>
QLORA_HOST_DEVICE std::uint32_t magnitude_bits(float x) {
  return std::bit_cast<std::uint32_t>(prepare<S>(x)) & 0x7fffffffu;
}

/// Blocks whose largest magnitude is smaller than this become 0.
template <class S>
inline constexpr float smallest_scale = 1e-38f * range<S>;

template <class S>
QLORA_HOST_DEVICE float clamp_to_range(float x) {
  constexpr auto limit = range<S>;
  return x < -limit ? -limit : (limit < x ? limit : x);
}

/// Elements of a whole block, in [-range, range]. They are multiplied by a reciprocal, as torch
/// divides a number by a tensor: it decides ties.
template <class S>
class WholeBlock {
 public:
  QLORA_HOST_DEVICE explicit WholeBlock(float largest)
      : factor_{range<S> * (1.f / (largest < smallest_scale<S> ? smallest_scale<S> : largest))},
        scale_{largest} {}
  QLORA_HOST_DEVICE float scale() const { return scale_; }
  QLORA_HOST_DEVICE float factor() const { return factor_; }
  QLORA_HOST_DEVICE float operator()(float x) const { return clamp_to_range<S>(x * factor_); }

 private:
  float factor_, scale_;
};

/// Those of the last block, where it is short: bitsandbytes divides there, and the scale cannot be
/// zero.
template <class S>
class ShortBlock {
 public:
  QLORA_HOST_DEVICE explicit ShortBlock(float largest)
      : scale_{largest < smallest_scale<S> ? smallest_scale<S> : largest},
        step_{scale_ / range<S>} {}
  QLORA_HOST_DEVICE float scale() const { return scale_; }
  QLORA_HOST_DEVICE float operator()(float x) const { return clamp_to_range<S>(x / step_); }

 private:
  float scale_, step_;
};

/// Elements that have no scale.
struct Unscaled {
  QLORA_HOST_DEVICE float operator()(float x) const { return x; }
};

}  // namespace qlora::inline v1::quant
