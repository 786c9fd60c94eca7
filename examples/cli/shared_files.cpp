#include "shared_files.hpp"

#include <string>
#include <system_error>

#include <qlora/core/error.hpp>

namespace qlora::cli {

std::filesystem::path shared_file(std::string_view name) {
  auto ignored = std::error_code{};
  auto const program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  auto const installed = program.parent_path().parent_path() / "share" / "qlora" / name;
  auto const built = std::filesystem::path{QLORA_SHARED_FILES} / name;
  for (auto const& path : {installed, built}) {
    if (std::filesystem::exists(path, ignored)) return path;
  }
  throw SystemError{at(built.string(), "expected a file that comes with the program, found none")};
}

}  // namespace qlora::cli
