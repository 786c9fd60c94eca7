/// What a warp does as a whole: products of tensor cores, loads of their operands, and copies that
/// go on beside the program. Layouts are those of the PTX ISA.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>

#include "emulation/fibers.hpp"

namespace emulation {

/// One of the two bf16 of a register.
inline float half_of(std::uint32_t pair, unsigned which) {
  return std::bit_cast<float>(which == 0 ? pair << 16 : pair & 0xffff0000u);
}

/// c (16, 8) += a (16, 16) b (16, 8), bf16 with sums in float.
inline void mma_m16n8k16(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2],
                         std::source_location at = std::source_location::current()) {
  struct Operands {
    std::uint32_t a[4], b[2];
  };
  auto mine = Operands{};
  std::memcpy(mine.a, a, sizeof a);
  std::memcpy(mine.b, b, sizeof b);
  auto const sums = exchange_all(~0u, mine, at, [](auto const& shown) {
    auto const group = lane() / 4;
    auto const part = lane() % 4;
    std::array<float, 4> result{};
    for (auto e = 0u; e < 4; ++e) {
      auto const column = 2 * part + e % 2;
      for (auto k = 0u; k < 16; ++k) {
        auto const in_four = k % 8 / 2;
        auto const left = shown(4 * group + in_four).a[e / 2 + k / 8 * 2];
        auto const right = shown(4 * column + in_four).b[k / 8];
        result[e] += half_of(left, k % 2) * half_of(right, k % 2);
      }
    }
    return result;
  });
  for (auto e = std::size_t{0}; e < 4; ++e) c[e] += sums[e];
}

/// Four matrices of 8 rows of 16 bytes, whose addresses the lanes give.
inline void ldmatrix_x4(std::uint32_t (&pairs)[4], std::uint16_t const* row, bool transposed,
                        std::source_location at = std::source_location::current()) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) {
    throw Error{std::string{at.file_name()} + ":" + std::to_string(at.line()) +
                ": expected a row aligned to 16 bytes"};
  }
  auto const loaded = exchange_all(~0u, row, at, [&](auto const& shown) {
    auto const group = lane() / 4;
    auto const part = lane() % 4;
    std::array<std::uint32_t, 4> result{};
    for (auto matrix = 0u; matrix < 4; ++matrix) {
      auto const element = [&](unsigned i, unsigned j) {
        return std::uint32_t{shown(8 * matrix + i)[j]};
      };
      result[matrix] = transposed ? element(2 * part, group) | element(2 * part + 1, group) << 16
                                  : element(group, 2 * part) | element(group, 2 * part + 1) << 16;
    }
    return result;
  });
  std::memcpy(pairs, loaded.data(), sizeof pairs);
}

/// Begins a copy; of zeros where `from` is null.
inline void copy_async(void* to, void const* from, std::size_t bytes,
                       std::source_location at = std::source_location::current()) {
  if ((reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % bytes !=
      0) {
    throw Error{std::string{at.file_name()} + ":" + std::to_string(at.line()) +
                ": expected both sides of a copy aligned to " + std::to_string(bytes) + " bytes"};
  }
  auto copy = Copy{to, bytes, {}};
  if (from != nullptr) std::memcpy(copy.bytes.data(), from, bytes);
  this_fiber().copies.push_back(copy);
}

/// Makes the copies that this thread has begun.
inline void wait_for_copies() {
  auto& copies = this_fiber().copies;
  for (auto const& copy : copies) std::memcpy(copy.to, copy.bytes.data(), copy.size);
  copies.clear();
}

}  // namespace emulation
