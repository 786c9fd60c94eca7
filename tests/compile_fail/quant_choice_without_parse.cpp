// expect: visit(body) and static parse(name)
#include <string_view>

#include <qlora/quant/nf4.hpp>
#include <qlora/quant/quantize.hpp>

/// Chosen at run time from one scheme.
struct OnlyNf4 {
  std::string_view name = qlora::Nf4<64>::name;
  int bits = qlora::Nf4<64>::bits;
  qlora::Index block = qlora::Nf4<64>::block;
  bool double_quantized = qlora::Nf4<64>::double_quantized;
  template <class Body>
  decltype(auto) visit(Body&& body) const {
    return body(qlora::Nf4<64>{});
  }
#ifdef QLORA_COMPILE_FAIL_CONTROL
  static OnlyNf4 parse(std::string_view) {
    return {};
  }
#endif
};

int main() {
  auto const weight = qlora::MatrixTensor<float>{{2, 2}};
  qlora::quantize(OnlyNf4{}, weight);
}
