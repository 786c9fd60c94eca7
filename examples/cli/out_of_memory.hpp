/// Memory that the program was refused.
#pragma once

#include <cstddef>

namespace qlora::cli {

/// Bytes that `operator new` failed to get last, 0 if it never did. Some of libstdc++'s functions
/// end the process without an exception that is current when they have no memory.
std::size_t refused_bytes() noexcept;

}  // namespace qlora::cli
