// expect: a 4-bit quantization needs an even block
#include <qlora/quant/nf4.hpp>
#include <qlora/quant/quantized.hpp>

#ifdef QLORA_COMPILE_FAIL_CONTROL
using Scheme = qlora::Nf4<66>;
#else
using Scheme = qlora::Nf4<65>;
#endif

int main() {
  qlora::Quantized<Scheme>{};
}
