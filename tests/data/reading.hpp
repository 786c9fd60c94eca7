/// Shared by the readers' tests: files made of literals, and the sentence of a refusal.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <unistd.h>

#include <qlora/core/error.hpp>

namespace qlora::testing {

/// A file that lives as long as the object.
class TextFile {
 public:
  explicit TextFile(std::string_view content)
      : path_{std::filesystem::temp_directory_path() /
              ("qlora-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count))} {
    std::ofstream{path_, std::ios::binary} << content;
  }
  TextFile(TextFile const&) = delete;
  TextFile& operator=(TextFile const&) = delete;
  ~TextFile() { std::filesystem::remove(path_); }

  std::filesystem::path const& path() const noexcept { return path_; }

 private:
  static inline int count = 0;
  std::filesystem::path path_;
};

/// What `read(path)` says, without the path, about a file of this content; "" when it accepts it.
template <class Read>
std::string refusal(std::string_view content, Read&& read) {
  auto const file = TextFile{content};
  try {
    read(file.path());
  } catch (InputError const& error) {
    auto const sentence = std::string{error.what()};
    auto const path = file.path().string();
    return sentence.starts_with(path) ? sentence.substr(path.size()) : "no path: " + sentence;
  }
  return "";
}

}  // namespace qlora::testing
