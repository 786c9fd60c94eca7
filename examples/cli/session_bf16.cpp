#include "session_of.hpp"

namespace qlora::cli {

std::unique_ptr<Session> open_bf16(SessionOptions const& options) {
  return std::make_unique<SessionOf<backend::Cpu<backend::BestProducts, bf16>>>(options);
}

}  // namespace qlora::cli
