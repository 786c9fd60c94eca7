#include "session_of.hpp"

namespace qlora::cli {

std::unique_ptr<Session> open_fp32(SessionOptions const& options) {
  return std::make_unique<SessionOf<backend::Cpu<backend::BestProducts, float>>>(options);
}

}  // namespace qlora::cli
