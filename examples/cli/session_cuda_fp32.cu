#include "cuda.hpp"
#include "session_of.hpp"

namespace qlora::cli {

bool cuda_is_present() {
  return cuda::device_status() == cudaSuccess;
}

void require_cuda() {
  cuda::check(cuda::device_status(), "--device cuda: expected a device, found none");
}

void use_cuda_device(int number) {
  auto devices = 0;
  cuda::check(cudaGetDeviceCount(&devices), "devices");
  cuda::check(cudaSetDevice(number % devices), "device " + std::to_string(number % devices));
}

std::unique_ptr<Session> open_cuda_fp32(SessionOptions const& options) {
  return std::make_unique<SessionOf<backend::Cuda<float>>>(options);
}

}  // namespace qlora::cli
