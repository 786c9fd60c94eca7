/// Element types: bfloat16 beside float and double, the type in which each of them is summed, and
/// rounding to half precision, in which files may store numbers and nothing is computed.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

#include <qlora/core/host_device.hpp>

namespace qlora::inline v1 {

/// The upper half of an IEEE float: 8 bits of exponent, 7 of mantissa. Rounds to nearest even.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  QLORA_HOST_DEVICE constexpr explicit bf16(float value) : bits{rounded(value)} {}
  QLORA_HOST_DEVICE constexpr explicit operator float() const {
    return std::bit_cast<float>(std::uint32_t{bits} << 16);
  }
  constexpr bool operator==(bf16 const&) const = default;

 private:
  QLORA_HOST_DEVICE static constexpr std::uint16_t rounded(float value) {
    auto const word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u) {  // NaN: rounding could make it infinite
      return static_cast<std::uint16_t>((word >> 16) | 0x40u);
    }
    return static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
};

/// The number of IEEE half precision nearest to x, ties to even; infinite from 65520.
QLORA_HOST_DEVICE inline float round_to_half(float x) {
  auto const magnitude = std::fabs(x);
  if (magnitude >= 65520.f) return std::copysign(std::numeric_limits<float>::infinity(), x);
  if (magnitude < 0x1p-14f) {  // subnormal: a multiple of 2^-24
    return std::copysign((magnitude + .75f) - .75f, x);
  }
  auto const word = std::bit_cast<std::uint32_t>(x);  // else 10 bits of mantissa
  return std::bit_cast<float>((word + 0xfffu + ((word >> 13) & 1u)) & ~0x1fffu);
}

/// What a backend may compute in.
template <class T>
concept ComputeType = std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, double>;

namespace detail {
template <class T>
struct accumulate {
  using type = T;
};
template <>
struct accumulate<bf16> {
  using type = float;
};
}  // namespace detail

/// The type in which sums over T are formed, and in which residuals, gradients of parameters and
/// parameters themselves are kept: float for bf16, T itself otherwise.
template <class T>
using Accumulate = typename detail::accumulate<T>::type;

/// Conversion between element types; to and from bf16 by way of float.
template <class To, class From>
QLORA_HOST_DEVICE constexpr To convert(From value) {
  if constexpr (std::same_as<To, From>) {
    return value;
  } else if constexpr (std::same_as<To, bf16>) {
    return bf16{static_cast<float>(value)};
  } else if constexpr (std::same_as<From, bf16>) {
    return static_cast<To>(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace qlora::inline v1
