/// The part of TOML (https://toml.io/en/v1.0.0) that holds flags: one `key = value` a line, a value
/// being a string on one line, a number, true or false; and, where asked for, arrays and inline
/// tables of those on one line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qlora::cli {

struct TomlValue {
  enum class Kind { string, number, boolean, array, table };

  Kind kind = Kind::string;
  std::string text;               ///< of a string: with escapes resolved; of others: as written
  std::vector<TomlValue> items;   ///< of an array or table
  std::vector<std::string> keys;  ///< of a table, one an item
};

struct TomlEntry {
  std::string key;
  TomlValue value;
  std::size_t line = 0;
};

/// `plain` refuses arrays and tables.
enum class TomlValues { plain, nested };

/// Throws InputError that names file and line.
std::vector<TomlEntry> parse_toml(std::string_view text, std::string_view file,
                                  TomlValues allowed = TomlValues::plain);

/// `text` as a TOML value: a number as it is, all else as a string.
std::string toml_value(std::string const& text);

}  // namespace qlora::cli
