/// XXH3 in 128 bits, as 32 hexadecimal digits.
#pragma once

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace qlora::cli {

class Hash {
 public:
  Hash() { XXH3_128bits_reset(&state_); }

  void add(std::span<std::byte const> bytes) {
    XXH3_128bits_update(&state_, bytes.data(), bytes.size());
  }
  std::string text() const {
    auto const hash = XXH3_128bits_digest(&state_);
    char digits[33];
    std::snprintf(digits, sizeof digits, "%016llx%016llx",
                  static_cast<unsigned long long>(hash.high64),
                  static_cast<unsigned long long>(hash.low64));
    return digits;
  }

 private:
  XXH3_state_t state_;
};

}  // namespace qlora::cli
