#include <cstddef>
#include <cstdint>

#include "fuzz/pickles.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  auto const bytes = std::string_view{reinterpret_cast<char const*>(data), size};
  qlora::fuzz::pickled_data(bytes);
  qlora::fuzz::torch_file(bytes);
  return 0;
}
