/// Files that come with the program: the embedded model and settings.
#pragma once

#include <filesystem>
#include <string_view>

namespace qlora::cli {

/// Path of a file in share/qlora beside the installed program, else in the sources it was built
/// from. Throws SystemError when it is in neither.
std::filesystem::path shared_file(std::string_view name);

}  // namespace qlora::cli
