/// Options that are numbers: refused with one sentence where they make no sense.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include <qlora/core/error.hpp>

namespace qlora::inline v1 {

/// Throws InputError unless `holds`: "rank: expected at least 1, found 0".
template <class Number>
void expect_option(bool holds, std::string_view name, std::string_view expected, Number found) {
  if (holds) return;
  char digits[32];
  auto const end = std::to_chars(digits, digits + sizeof digits, found).ptr;
  throw InputError{std::string{name}
                       .append(": expected ")
                       .append(expected)
                       .append(", found ")
                       .append(digits, end)};
}

}  // namespace qlora::inline v1
