/// Numbers from text and as text, without loss.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace qlora::cli {

/// The shortest digits that read back as the same number.
inline std::string exact(std::floating_point auto value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

/// The number that all of the text spells in decimal digits, if it spells one. With a leading zero
/// it spells none: some read 010 as eight, and TOML has no such number.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  auto const digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') {
    return std::nullopt;
  }
  auto value = T{};
  auto const* const end = text.data() + text.size();
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end is given
  auto const [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && rest == end ? std::optional{value} : std::nullopt;
}

}  // namespace qlora::cli
