// expect: Space::device
#include <qlora/core/tensor.hpp>

void host_verb(qlora::Matrix<float const>);

void call(qlora::Matrix<float> host, qlora::Matrix<float, qlora::Space::device> device) {
#if defined(QLORA_COMPILE_FAIL_CONTROL)
  static_cast<void>(device);
  host_verb(host);
#else
  static_cast<void>(host);
  host_verb(device);
#endif
}
