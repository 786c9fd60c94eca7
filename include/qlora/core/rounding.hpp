/// Integers divided and rounded upwards, on host and device.
#pragma once

#include <type_traits>

#include <qlora/core/host_device.hpp>

namespace qlora::inline v1 {

/// The least number of pieces of `size` that hold `count`; neither is negative.
template <class I>
QLORA_HOST_DEVICE constexpr I ceil_div(I count, std::type_identity_t<I> size) {
  return (count + size - 1) / size;
}

/// The least multiple of `unit` that is not below `count`.
template <class I>
QLORA_HOST_DEVICE constexpr I round_up(I count, std::type_identity_t<I> unit) {
  return ceil_div(count, unit) * unit;
}

}  // namespace qlora::inline v1
