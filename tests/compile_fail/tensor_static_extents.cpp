// expect: 480>
#include <qlora/core/tensor.hpp>

void takes(qlora::View<float const, qlora::Shape<qlora::dyn, 320>>);

#if defined(QLORA_COMPILE_FAIL_CONTROL)
void call(qlora::View<float, qlora::Shape<qlora::dyn, 320>> view) {
  takes(view);
}
#else
void call(qlora::View<float, qlora::Shape<qlora::dyn, 480>> view) {
  takes(view);
}
#endif
