// expect: encode(float) and decode(code), which returns a float
#include <cstdint>
#include <string_view>

#include <qlora/quant/quantize.hpp>

struct NoCodec {
  static constexpr std::string_view name = "no_codec";
  static constexpr int bits = 4;
  static constexpr qlora::Index block = 64;
  static constexpr bool double_quantized = false;
#ifdef QLORA_COMPILE_FAIL_CONTROL
  static std::uint8_t encode(float x) {
    return x > 0;
  }
  static float decode(std::uint8_t code) {
    return code;
  }
#endif
};

int main() {
  auto const weight = qlora::MatrixTensor<float>{{2, 2}};
  qlora::quantize(NoCodec{}, weight);
}
