/// The target of targets.hpp that the environment's QLORA_FUZZ_TARGET names, for libFuzzer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "fuzz/targets.hpp"

namespace {

qlora::fuzz::Target const& chosen() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets any
  auto const* const name = std::getenv("QLORA_FUZZ_TARGET");
  auto const& all = qlora::fuzz::targets();
  auto const found =
      std::ranges::find(all, std::string_view{name ? name : ""}, &qlora::fuzz::Target::name);
  if (found != all.end()) return *found;
  std::cerr << "expected the name of a target in QLORA_FUZZ_TARGET\n";
  std::_Exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static auto const& target = chosen();
  target.accepts({reinterpret_cast<char const*>(data), size});
  return 0;
}
