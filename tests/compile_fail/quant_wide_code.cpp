// expect: a quantization's bits are 4 or the size of what encode returns
#include <string_view>

#include <qlora/quant/quantized.hpp>

struct WideCode {
  static constexpr std::string_view name = "wide_code";
#ifdef QLORA_COMPILE_FAIL_CONTROL
  static constexpr int bits = 32;
#else
  static constexpr int bits = 8;
#endif
  static constexpr qlora::Index block = 64;
  static constexpr bool double_quantized = false;
  static int encode(float x) {
    return static_cast<int>(x);
  }
  static float decode(int code) {
    return static_cast<float>(code);
  }
};

int main() {
  qlora::Quantized<WideCode>{};
}
