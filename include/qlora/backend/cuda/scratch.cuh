/// Memory for what a verb needs while it runs.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <qlora/backend/cuda/memory.cuh>
#include <qlora/core/memory.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::cuda {

/// One block of device memory that verbs of one stream use one after the other. It grows to the
/// largest request, and stays.
class Scratch {
 public:
  /// Parts of these bytes, until the next call.
  template <std::size_t N>
  std::array<std::byte*, N> take(std::array<std::size_t, N> const& bytes) {
    auto total = std::size_t{0};
    for (auto const part : bytes) total += rounded(part);
    if (buffer_.bytes() < total) buffer_ = Buffer<Space::device>{total};
    auto parts = std::array<std::byte*, N>{};
    auto* next = buffer_.data();
    for (auto i = std::size_t{0}; i < N; next += rounded(bytes[i++])) parts[i] = next;
    return parts;
  }
  /// `count` elements, until the next call.
  template <class U>
  U* take(Index count) {
    auto const bytes = static_cast<std::size_t>(count) * sizeof(U);
    return reinterpret_cast<U*>(take(std::array{bytes}).front());
  }

 private:
  /// Parts start where cudaMalloc's memory would.
  static std::size_t rounded(std::size_t bytes) { return round_up(bytes, 256); }

  Buffer<Space::device> buffer_;
};

}  // namespace qlora::inline v1::cuda
