/// The version of the library; the build system reads it from here.
#pragma once

#include <string_view>

namespace qlora::inline v1 {

inline constexpr std::string_view version = "0.1.0";

}  // namespace qlora::inline v1
