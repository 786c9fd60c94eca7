/// Strict JSON from files nobody vouches for: bounded depth, no duplicate keys, valid UTF-8 only,
/// and getters that refuse a value of the wrong type.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1 {

using Json = nlohmann::json;
/// Keeps the order in which keys are written.
using OrderedJson = nlohmann::ordered_json;

namespace json {

/// A parsed document is held to about 16 bytes of memory a byte of text; this bounds it.
inline constexpr std::size_t text_limit_bytes = std::size_t{4} << 20;
inline constexpr std::size_t depth_limit = 64;
/// A value takes 100 bytes and more, however short its text.
inline constexpr std::size_t value_limit = 200'000;
inline constexpr std::size_t token_limit_bytes = std::size_t{1} << 20;

/// Refuses a token, with the blanks around it, that nlohmann's lexer would hold, and its message
/// spell, several times over.
inline void refuse_long_tokens(std::string_view text, std::string_view file) {
  for (auto begin = std::size_t{0}; begin < text.size();) {
    auto end = begin + 1;
    if (text[begin] == '"') {
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, text.size());
    } else {
      end = std::min(text.find_first_of("\",:[]{}", end), text.size());
    }
    if (end - begin > token_limit_bytes) {
      throw InputError{at(file, "invalid JSON at byte " + std::to_string(begin + 1) +
                                    ": expected tokens of at most " +
                                    std::to_string(token_limit_bytes) + " bytes")};
    }
    begin = end;
  }
}

/// Runs nlohmann's SAX parser, which validates UTF-8 and does not recurse. Handlers are called
/// through their base, so that a program has one parser. Json::sax_parse would do the same, but
/// instantiates the readers of five binary formats too: 1.5 seconds in every program.
inline void parse_events(std::string_view text, nlohmann::json_sax<Json>& handler,
                         std::string_view file) {
  // The lexer takes a NUL byte for the end of the text, which would hide whatever follows it.
  if (auto const nul = text.find('\0'); nul != text.npos) {
    throw InputError{at(file, "invalid JSON at byte " + std::to_string(nul + 1) + ": a NUL byte")};
  }
  refuse_long_tokens(text, file);
  auto input = nlohmann::detail::input_adapter(text);
  // NOLINTNEXTLINE(performance-move-const-arg): other versions' adapters are not trivial
  nlohmann::detail::parser<Json, decltype(input)>{std::move(input)}.sax_parse(&handler);
}

/// The part of a SAX consumer that turns nlohmann's errors into ours.
class SaxErrors : public nlohmann::json_sax<Json> {
 public:
  explicit SaxErrors(std::string_view file) : file_{file} {}

  [[noreturn]] bool parse_error(std::size_t byte, std::string const&,
                                Json::exception const& error) override {
    auto reason =
        std::string_view{error.what()};  // "[json.exception...] parse error at ...: reason"
    if (auto const end = reason.find("] "); end != reason.npos) reason.remove_prefix(end + 2);
    if (reason.starts_with("parse error at")) reason.remove_prefix(reason.find(": ") + 2);
    fail("invalid JSON at byte " + std::to_string(byte) + ": " + printable(reason));
  }

 protected:
  [[noreturn]] void fail(std::string const& what) const { throw InputError{at(file_, what)}; }

  std::string file_;
};

namespace detail {

/// Builds the document from events; the work list makes it independent of the call stack.
template <class Document>
class DocumentBuilder : public SaxErrors {
 public:
  DocumentBuilder(std::string_view file, std::size_t most_values)
      : SaxErrors{file}, most_values_{most_values} {}

  Document document;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(Json::number_integer_t value) override { return add(value); }
  bool number_unsigned(Json::number_unsigned_t value) override { return add(value); }
  bool number_float(Json::number_float_t value, std::string const&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(Json::binary_t& value) override { return add(std::move(value)); }
  bool start_object(std::size_t) override { return open(Document::object()); }
  bool start_array(std::size_t) override { return open(Document::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    auto const [entry, inserted] = open_.back()->emplace(name, nullptr);
    if (!inserted) fail("duplicate key \"" + printable(name) + "\"");
    slot_ = &*entry;
    return true;
  }

 private:
  Document* place(Document&& value) {
    if (++values_ > most_values_) {
      fail("expected at most " + std::to_string(most_values_) + " values, found more");
    }
    if (open_.empty()) return &(document = std::move(value));
    if (open_.back()->is_object()) return &(*slot_ = std::move(value));
    return &open_.back()->emplace_back(std::move(value));
  }
  bool add(Document value) {
    place(std::move(value));
    return true;
  }
  bool open(Document value) {
    if (open_.size() == depth_limit) {
      fail("expected JSON nested at most " + std::to_string(depth_limit) + " deep");
    }
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  // Containers not yet closed; stable, as only the innermost one grows.
  std::vector<Document*> open_;
  Document* slot_ = nullptr;  // value of the object's latest key
  std::size_t most_values_;
  std::size_t values_ = 0;
};

template <class T>
constexpr std::string_view type_name() {
  if constexpr (std::same_as<T, bool>) return "true or false";
  if constexpr (std::same_as<T, std::int64_t>) return "an integer";
  if constexpr (std::same_as<T, double>) return "a finite number";
  if constexpr (std::same_as<T, std::string>) return "a string";
  if constexpr (std::same_as<T, std::vector<std::int64_t>>) return "a list of integers";
  if constexpr (std::same_as<T, std::vector<double>>) return "a list of finite numbers";
  if constexpr (std::same_as<T, std::vector<std::string>>) return "a list of strings";
}

/// `value` as a T, if it is one. Integers must be written as integers and fit 64 bits.
template <class T>
std::optional<T> convert(Json const& value) {
  if constexpr (std::same_as<T, bool>) {
    if (value.is_boolean()) return value.get<bool>();
  } else if constexpr (std::same_as<T, std::int64_t>) {
    auto const fits = !value.is_number_unsigned() ||
                      value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max();
    if (value.is_number_integer() && fits) return value.get<std::int64_t>();
  } else if constexpr (std::same_as<T, double>) {
    if (value.is_number() && std::isfinite(value.get<double>())) return value.get<double>();
  } else if constexpr (std::same_as<T, std::string>) {
    if (value.is_string()) return value.get<std::string>();
  } else {
    static_assert(std::same_as<T, std::vector<std::int64_t>> ||
                      std::same_as<T, std::vector<double>> ||
                      std::same_as<T, std::vector<std::string>>,
                  "T must be bool, int64_t, double, string, or a vector of one of the last three");
    if (!value.is_array()) return std::nullopt;
    auto list = T{};
    for (auto const& entry : value) {
      auto const element = convert<typename T::value_type>(entry);
      if (!element) return std::nullopt;
      list.push_back(*element);
    }
    return list;
  }
  return std::nullopt;
}

}  // namespace detail

/// The document in `text`; `file` names it in errors. Throws InputError with the byte position, and
/// for more values than `most_values`, of which text.size() allows any. An OrderedJson looks for a
/// key among all before it: for objects of few.
template <class Document = Json>
Document parse(std::string_view text, std::string_view file,
               std::size_t most_values = value_limit) {
  auto builder = detail::DocumentBuilder<Document>{file, most_values};
  parse_events(text, builder, file);
  return std::move(builder.document);
}

/// The object in the file at `path`, which may hold at most text_limit_bytes.
inline Json read_object(std::filesystem::path const& path) {
  auto document = parse(read_text(path, text_limit_bytes), path.string());
  if (!document.is_object()) throw InputError{at(path.string(), "expected a JSON object")};
  return document;
}

/// `value` as short text for a message.
inline std::string shown(Json const& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return printable(value.dump(-1, ' ', true, Json::error_handler_t::replace), 60);
}

/// object[key] when present and not null. InputError when it is no T.
template <class T>
std::optional<T> find(Json const& object, std::string_view key, std::string_view file) {
  auto const entry = object.find(key);
  if (entry == object.end() || entry->is_null()) return std::nullopt;
  auto value = detail::convert<T>(*entry);
  if (!value) {
    throw InputError{at(file, std::string{key} + ": expected " +
                                  std::string{detail::type_name<T>()} + ", found " +
                                  shown(*entry))};
  }
  return value;
}

/// object[key]; InputError when it is absent, null or no T.
template <class T>
T require(Json const& object, std::string_view key, std::string_view file) {
  auto value = find<T>(object, key, file);
  if (!value) {
    throw InputError{at(file, std::string{key} + ": expected " +
                                  std::string{detail::type_name<T>()} + ", found nothing")};
  }
  return *std::move(value);
}

/// Refuses a value outside [low, high].
template <class T>
T within(T value, T low, T high, std::string_view key, std::string_view file) {
  if (!(value >= low && value <= high)) {
    throw InputError{at(file, std::string{key} + ": expected " + Json(low).dump() + " to " +
                                  Json(high).dump() + ", found " + Json(value).dump())};
  }
  return value;
}

}  // namespace json
}  // namespace qlora::inline v1
