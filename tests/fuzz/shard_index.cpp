#include <cstddef>
#include <cstdint>

#include "fuzz/model_files.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  qlora::fuzz::shard_index({reinterpret_cast<char const*>(data), size});
  return 0;
}
