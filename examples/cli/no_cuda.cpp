#include <qlora/core/error.hpp>

#include "cuda.hpp"

namespace qlora::cli {

namespace {

[[noreturn]] void refuse() {
  throw SystemError{"--device cuda: this program was built without CUDA; use --device cpu"};
}

}  // namespace

bool cuda_is_present() {
  return false;
}
void require_cuda() {
  refuse();
}
void use_cuda_device(int) {
  refuse();
}
std::unique_ptr<Session> open_cuda_fp32(SessionOptions const&) {
  refuse();
}
std::unique_ptr<Session> open_cuda_bf16(SessionOptions const&) {
  refuse();
}

}  // namespace qlora::cli
