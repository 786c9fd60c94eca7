#include <cstddef>
#include <cstdint>

#include "fuzz/data_files.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  qlora::fuzz::data_file({reinterpret_cast<char const*>(data), size}, qlora::DataFormat::yu);
  return 0;
}
