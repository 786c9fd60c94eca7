/// What tests of file readers share: a folder that vanishes, files made on the spot, and the
/// sentence of an error.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <unistd.h>

#include <qlora/core/error.hpp>

#include "support/errors.hpp"

namespace qlora::testing {

/// A fresh folder, removed at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    auto name = (std::filesystem::temp_directory_path() / "qlora-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  TemporaryFolder(TemporaryFolder const&) = delete;
  TemporaryFolder& operator=(TemporaryFolder const&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] std::filesystem::path const& path() const { return path_; }

  /// Writes `content` to a file of that name, folders included, and returns its path.
  std::filesystem::path write(std::string_view name, std::string_view content) const {
    auto const path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream{path, std::ios::binary} << content;
    return path;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(std::filesystem::path const& path) {
  auto stream = std::ifstream{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{stream}, {}};
}

/// The bytes of a safetensors file of that header and data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  auto const length = std::uint64_t{header.size()};
  auto bytes = std::string(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes.append(header).append(data);
}

/// What the InputError that `action` throws says.
template <class Action>
std::string input_error_of(Action&& action) {
  return message_of<InputError>(action);
}

}  // namespace qlora::testing
