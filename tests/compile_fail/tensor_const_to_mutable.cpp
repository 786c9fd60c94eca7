// expect: const float
#include <qlora/core/tensor.hpp>

void writes(qlora::Matrix<float>);

#if defined(QLORA_COMPILE_FAIL_CONTROL)
void call(qlora::Matrix<float> view) {
  writes(view);
}
#else
void call(qlora::Matrix<float const> view) {
  writes(view);
}
#endif
