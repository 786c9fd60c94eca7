/// A 4-bit float of 1 sign, 2 exponent and 1 mantissa bits, bit for bit as in bitsandbytes.
#pragma once

#include <array>
#include <string_view>

#include <qlora/core/memory.hpp>

namespace qlora::inline v1 {

template <Index Block = 64>
struct Fp4 {
  static constexpr std::string_view name = "fp4";
  static constexpr int bits = 4;
  static constexpr Index block = Block;
  static constexpr bool double_quantized = true;
  /// Codes 8 to 15 are the negatives; 8 is a second zero, which the smallest positives take.
  static constexpr std::array<float, 16> codebook = {0.f,
                                                     0.0052083334885537624f,
                                                     0.6666666865348816f,
                                                     1.f,
                                                     0.3333333432674408f,
                                                     0.5f,
                                                     0.1666666716337204f,
                                                     0.25f,
                                                     0.f,
                                                     -0.0052083334885537624f,
                                                     -0.6666666865348816f,
                                                     -1.f,
                                                     -0.3333333432674408f,
                                                     -0.5f,
                                                     -0.1666666716337204f,
                                                     -0.25f};
};

}  // namespace qlora::inline v1
