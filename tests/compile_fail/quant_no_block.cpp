// expect: a quantization needs static constexpr name, bits, block and double_quantized
#include <cstdint>
#include <string_view>

#include <qlora/quant/quantize.hpp>

struct NoBlock {
  static constexpr std::string_view name = "no_block";
  static constexpr int bits = 8;
#ifdef QLORA_COMPILE_FAIL_CONTROL
  static constexpr qlora::Index block = 64;
#endif
  static constexpr bool double_quantized = false;
  static std::uint8_t encode(float x) {
    return x > 0;
  }
  static float decode(std::uint8_t code) {
    return code;
  }
};

int main() {
  auto const weight = qlora::MatrixTensor<float>{{2, 2}};
  qlora::quantize(NoBlock{}, weight);
}
