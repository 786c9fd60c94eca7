#include <cstddef>
#include <cstdint>

#include "fuzz/data_files.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  qlora::fuzz::any_data_file({reinterpret_cast<char const*>(data), size});
  return 0;
}
