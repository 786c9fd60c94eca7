#include "toml.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

#include "numbers.hpp"

namespace qlora::cli {
namespace {

bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

/// One line of a file; what was read is cut off its front.
class Line {
 public:
  Line(std::string_view rest, std::string_view file, std::size_t number, TomlValues allowed)
      : rest_{rest}, file_{file}, number_{number}, allowed_{allowed} {}

  /// The entry, or none for a line of nothing.
  std::optional<TomlEntry> entry() {
    auto result = TomlEntry{};
    result.line = number_;
    skip_spaces();
    if (at_end()) return std::nullopt;
    if (rest_.front() == '[') fail("expected no sections, found " + shown());
    result.key = key();
    result.value = value(allowed_);
    skip_spaces();
    if (!at_end()) fail("expected the end of the line, found " + shown());
    return result;
  }

 private:
  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{at(file_, what, number_)};
  }
  std::string shown() const { return rest_.empty() ? "nothing" : printable(rest_, 40); }
  bool at_end() const { return rest_.empty() || rest_.front() == '#'; }
  bool is_quote() const {
    return !rest_.empty() && (rest_.front() == '"' || rest_.front() == '\'');
  }
  void skip_spaces() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
  }

  std::string_view take(std::size_t count) {
    auto const taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  /// A key and the = after it.
  std::string key() {
    auto name = is_quote() ? string() : bare_key();
    skip_spaces();
    if (rest_.empty() || rest_.front() != '=') fail("expected = after the key, found " + shown());
    rest_.remove_prefix(1);
    skip_spaces();
    return name;
  }
  std::string bare_key() {
    auto const end = std::ranges::find_if_not(rest_, is_bare);
    auto const size = static_cast<std::size_t>(end - rest_.begin());
    if (size == 0) fail("expected a key, found " + shown());
    return std::string{take(size)};
  }

  /// In a table no value is a table: that is as deep as anybody needs.
  TomlValue value(TomlValues allowed) {
    using Kind = TomlValue::Kind;
    if (is_quote()) return {Kind::string, string(), {}, {}};
    if (allowed == TomlValues::nested && starts_with('[')) return array();
    if (allowed == TomlValues::nested && starts_with('{')) return table();
    auto text = plain_value();
    auto const kind = text == "true" || text == "false" ? Kind::boolean : Kind::number;
    return {kind, std::move(text), {}, {}};
  }

  TomlValue array() {
    auto result = TomlValue{.kind = TomlValue::Kind::array, .text = {}, .items = {}, .keys = {}};
    take(1);
    for (skip_spaces(); !starts_with(']');) {
      result.items.push_back(value(TomlValues::plain));
      separator(']');
    }
    take(1);
    return result;
  }
  TomlValue table() {
    auto result = TomlValue{.kind = TomlValue::Kind::table, .text = {}, .items = {}, .keys = {}};
    auto seen = std::set<std::string>{};
    take(1);
    for (skip_spaces(); !starts_with('}');) {
      auto name = key();
      if (!seen.insert(name).second) {
        fail("duplicate key \"" + printable(name) + "\"");
      }
      result.keys.push_back(std::move(name));
      result.items.push_back(value(TomlValues::plain));
      separator('}');
    }
    take(1);
    return result;
  }
  /// Goes on to the next item, or to what closes them.
  void separator(char close) {
    skip_spaces();
    if (starts_with(close)) return;
    if (!starts_with(',')) {
      fail(std::string{"expected , or "} + close + " on the same line, found " + shown());
    }
    take(1);
    skip_spaces();
  }
  bool starts_with(char c) const { return !rest_.empty() && rest_.front() == c; }

  /// A number, true or false.
  std::string plain_value() {
    auto const ends = allowed_ == TomlValues::plain ? " \t#" : " \t#,]}";
    auto text = std::string{take(std::min(rest_.find_first_of(ends), rest_.size()))};
    if (text == "true" || text == "false") return text;
    auto digits = text.substr(text.starts_with('+') ? 1 : 0);
    for (auto i = digits.find('_'); i < digits.size(); i = digits.find('_', i)) {  // 1_000
      auto const is_digit = [&](std::size_t j) {
        return j < digits.size() && digits[j] >= '0' && digits[j] <= '9';
      };
      if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) break;
      digits.erase(i, 1);
    }
    if (!parse_number<double>(digits)) {
      fail("expected a string in quotes, a number, true or false, found " +
           (text.empty() ? "nothing" : printable(text, 40)));
    }
    return digits;
  }

  std::string string() {
    auto const quote = take(1).front();
    if (rest_.starts_with(std::string(2, quote))) fail("expected a string on one line");
    auto text = std::string{};
    while (!rest_.empty()) {
      auto const c = take(1).front();
      if (c == quote) return text;
      if (static_cast<unsigned char>(c) < 0x20 && c != '\t') fail("found a control character");
      if (c == '\\' && quote == '"') {
        escape(text);
      } else {
        text += c;
      }
    }
    fail("expected a string that ends on its line");
  }

  void escape(std::string& text) {
    constexpr auto names = std::string_view{"btnfr\"\\"};
    constexpr auto characters = std::string_view{"\b\t\n\f\r\"\\"};
    auto const name = rest_.empty() ? ' ' : take(1).front();
    if (auto const found = names.find(name); found != names.npos) {
      text += characters[found];
    } else if (name == 'u' || name == 'U') {
      append_utf8(text, code_point(name == 'u' ? 4 : 8));
    } else {
      fail("expected an escape of TOML after \\");
    }
  }
  std::uint32_t code_point(std::size_t digits) {
    auto value = std::uint32_t{0};
    auto const text = take(digits);
    for (auto const c : text) {
      auto const digit = std::string_view{"0123456789abcdef"}.find(
          c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
      if (digit == std::string_view::npos) fail("expected hexadecimal digits after \\u");
      value = value << 4 | static_cast<std::uint32_t>(digit);
    }
    auto const surrogate = value >= 0xd800 && value <= 0xdfff;
    if (text.size() != digits || value == 0 || value > 0x10ffff || surrogate) {
      fail("expected a Unicode character after \\u");
    }
    return value;
  }
  static void append_utf8(std::string& text, std::uint32_t code) {
    if (code < 0x80) {
      text += static_cast<char>(code);
      return;
    }
    auto const more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    auto const head = more == 1 ? 0xc0u : more == 2 ? 0xe0u : 0xf0u;
    text += static_cast<char>(head | code >> 6 * more);
    for (auto i = more - 1; i >= 0; --i) text += static_cast<char>(0x80u | (code >> 6 * i & 0x3fu));
  }

  std::string_view rest_;
  std::string_view file_;
  std::size_t number_;
  TomlValues allowed_;
};

}  // namespace

std::vector<TomlEntry> parse_toml(std::string_view text, std::string_view file,
                                  TomlValues allowed) {
  constexpr auto byte_order_mark = std::string_view{"\xef\xbb\xbf"};
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  auto entries = std::vector<TomlEntry>{};
  for (auto number = std::size_t{1}; !text.empty(); ++number) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto entry = Line{line, file, number, allowed}.entry();
    if (entry) entries.push_back(std::move(*entry));
  }
  if (entries.empty()) throw InputError{at(file, "expected `flag = value` on a line, found none")};
  return entries;
}

std::string toml_value(std::string const& text) {
  if (parse_number<double>(text)) return text;
  auto quoted = std::string{'"'};
  for (auto const c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", unsigned{byte});
      quoted += escaped;
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace qlora::cli
