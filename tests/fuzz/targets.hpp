/// Every parser of files that come from elsewhere, once: for libFuzzer (libfuzzer.cpp), which clang
/// has, and for mutations.cpp, which any compiler runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qlora::fuzz {

struct Target {
  std::string_view name;
  /// Whether the bytes were accepted; aborts where the parser breaks a promise.
  bool (*accepts)(std::string_view);
  std::vector<std::string> seeds;            ///< files that are accepted
  std::vector<std::string_view> dictionary;  ///< what files of this kind are made of
};

std::vector<Target> const& targets();

}  // namespace qlora::fuzz
