#include "cuda.hpp"
#include "session_of.hpp"

namespace qlora::cli {

std::unique_ptr<Session> open_cuda_bf16(SessionOptions const& options) {
  return std::make_unique<SessionOf<backend::Cuda<bf16>>>(options);
}

}  // namespace qlora::cli
