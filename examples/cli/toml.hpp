/// The part of TOML (https://toml.io/en/v1.0.0) that holds flags: one `key = value` a line, a value
/// being a string on one line, a number, true or false.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qlora::cli {

struct TomlEntry {
  std::string key;
  std::string value;  ///< of a string: with escapes resolved; of others: as written
  bool is_boolean = false;
  std::size_t line = 0;
};

/// Throws InputError that names file and line.
std::vector<TomlEntry> parse_toml(std::string_view text, std::string_view file);

/// `text` as a TOML value: a number as it is, all else as a string.
std::string toml_value(std::string const& text);

}  // namespace qlora::cli
