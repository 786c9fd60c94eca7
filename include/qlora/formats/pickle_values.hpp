/// What a pickle builds. Values are numbers of 32 bits, so that a list of small integers takes
/// twice the bytes of its pickle, and objects refer to each other by index, so that cycles and
/// depth cost nothing to hold or to destroy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace qlora::inline v1::pickle {

/// The last three are made by policies of `Machine` alone.
enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,
  string,
  list,
  tuple,
  dict,
  global,
  storage,
  tensor
};

/// "a list" and so on, for messages.
constexpr std::string_view kind_name(Kind kind) {
  constexpr std::string_view names[] = {"None",    "a truth value", "an integer", "a string",
                                        "a list",  "a tuple",       "a dict",     "a global",
                                        "storage", "a tensor"};
  return names[static_cast<std::size_t>(kind)];
}

/// A small integer, or the index of an object.
class Value {
 public:
  constexpr Value() = default;
  static constexpr Value of_index(std::size_t index) {
    return Value{static_cast<std::uint32_t>(index)};
  }
  static constexpr Value of_integer(std::int32_t integer) {
    return Value{static_cast<std::uint32_t>(integer) | is_integer_};
  }

  /// Integers of this magnitude need no object.
  static constexpr std::int64_t small = std::int64_t{1} << 30;
  static constexpr std::size_t index_limit = 0x7fffffff;

  [[nodiscard]] constexpr bool is_set() const { return bits_ != unset_; }
  [[nodiscard]] constexpr bool is_integer() const { return (bits_ & is_integer_) != 0; }
  [[nodiscard]] constexpr std::int32_t integer() const {
    return static_cast<std::int32_t>(bits_ << 1) >> 1;  // the 31st bit is the sign
  }
  [[nodiscard]] constexpr std::size_t index() const { return bits_; }

 private:
  constexpr explicit Value(std::uint32_t bits) : bits_{bits} {}

  static constexpr std::uint32_t is_integer_ = 0x80000000;
  static constexpr std::uint32_t unset_ = index_limit;
  std::uint32_t bits_ = unset_;
};

/// All objects of a pickle. Strings are views of its bytes.
class Values {
 public:
  static constexpr Value none = Value::of_index(0);
  static constexpr Value false_value = Value::of_index(1);
  static constexpr Value true_value = Value::of_index(2);
  static constexpr Value empty_tuple = Value::of_index(3);

  Values() {
    for (auto const kind : {Kind::none, Kind::boolean, Kind::boolean, Kind::tuple}) {
      add({.kind = kind, .integer = 0, .text = {}, .items = {}});
    }
  }

  Value integer(std::int64_t value) {
    if (-Value::small <= value && value < Value::small) {
      return Value::of_integer(static_cast<std::int32_t>(value));
    }
    return add({.kind = Kind::integer, .integer = value, .text = {}, .items = {}});
  }
  Value text(Kind kind, std::string_view text) {
    return add({.kind = kind, .integer = 0, .text = text, .items = {}});
  }
  /// A dictionary's items are keys and values in turn.
  Value items(Kind kind, std::vector<Value> items) {
    bytes_ += items.capacity() * sizeof(Value);
    return add({.kind = kind, .integer = 0, .text = {}, .items = std::move(items)});
  }
  /// Memory set aside while `count` more items are added.
  [[nodiscard]] std::size_t growth_bytes(Value value, std::size_t count) const {
    auto const& items = objects_[value.index()].items;
    if (items.size() + count <= items.capacity()) return 0;
    return std::max(2 * items.size(), items.size() + count) * sizeof(Value);
  }
  template <class Iterator>
  void extend(Value value, Iterator first, Iterator last) {
    auto& items = objects_[value.index()].items;
    auto const before = items.capacity();
    items.insert(items.end(), first, last);
    bytes_ += (items.capacity() - before) * sizeof(Value) + (before == 0 ? heap_block_bytes : 0);
  }

  [[nodiscard]] Kind kind(Value value) const {
    return value.is_integer() ? Kind::integer : objects_[value.index()].kind;
  }
  [[nodiscard]] std::int64_t integer(Value value) const {
    return value.is_integer() ? value.integer() : objects_[value.index()].integer;
  }
  /// Of a string or global; empty for others.
  [[nodiscard]] std::string_view text(Value value) const {
    return value.is_integer() ? std::string_view{} : objects_[value.index()].text;
  }
  /// Of a container; empty for others.
  [[nodiscard]] std::span<Value const> items(Value value) const {
    if (value.is_integer()) return {};
    return objects_[value.index()].items;
  }

  /// Memory taken.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return objects_.size(); }

 private:
  struct Object {
    Kind kind;
    std::int64_t integer;
    std::string_view text;
    std::vector<Value> items;
  };

  Value add(Object object) {
    bytes_ += sizeof(Object) + (object.items.empty() ? 0 : heap_block_bytes);
    objects_.push_back(std::move(object));
    return Value::of_index(objects_.size() - 1);
  }

  static constexpr std::size_t heap_block_bytes = 32;  // the least that malloc takes
  std::deque<Object> objects_;
  std::size_t bytes_ = 0;
};

}  // namespace qlora::inline v1::pickle
