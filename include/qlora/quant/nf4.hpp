/// NormalFloat: 4 bits whose values are quantiles of a normal distribution (Dettmers et al.,
/// "QLoRA: Efficient Finetuning of Quantized LLMs", NeurIPS 2023), bit for bit as in bitsandbytes.
#pragma once

#include <array>
#include <string_view>

#include <qlora/core/memory.hpp>

namespace qlora::inline v1 {

template <Index Block = 64>
struct Nf4 {
  static constexpr std::string_view name = "nf4";
  static constexpr int bits = 4;
  static constexpr Index block = Block;
  static constexpr bool double_quantized = true;
  static constexpr std::array<float, 16> codebook = {-1.f,
                                                     -0.6961928009986877f,
                                                     -0.5250730514526367f,
                                                     -0.39491748809814453f,
                                                     -0.28444138169288635f,
                                                     -0.18477343022823334f,
                                                     -0.09105003625154495f,
                                                     0.f,
                                                     0.07958029955625534f,
                                                     0.16093020141124725f,
                                                     0.24611230194568634f,
                                                     0.33791524171829224f,
                                                     0.44070982933044434f,
                                                     0.5626170039176941f,
                                                     0.7229568362236023f,
                                                     1.f};
};

}  // namespace qlora::inline v1
