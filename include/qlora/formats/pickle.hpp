/// Python's pickle as a data format: a machine that builds plain data by an allow-list of opcodes
/// and calls nothing. (Python's own machine runs whatever a pickle names.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/formats/pickle_opcodes.hpp>
#include <qlora/formats/pickle_reader.hpp>
#include <qlora/formats/pickle_values.hpp>

namespace qlora::inline v1::pickle {

/// Most values that wait for their container; Python writes containers in batches of 1,000.
inline constexpr std::size_t stack_limit = std::size_t{1} << 21;
/// Most containers that are open at once; Python's own pickler gives up at about 1,000.
inline constexpr std::size_t depth_limit = 1'024;

/// Memory that the values of a pickle may take: what honest data need, and 24 MiB for small files.
/// Two of them, with the files themselves and a stack, stay below 64 MiB and four times the files.
constexpr std::size_t memory_limit_bytes(std::size_t file_bytes) {
  return (std::size_t{24} << 20) + 3 * file_bytes;
}

/// Accepts None, truth values, integers of 64 bits, strings, lists, tuples and dictionaries; every
/// global is refused. A policy in its place may have
///   Value global(Machine&, std::string_view module, std::string_view name)
///   Value call(Machine&, Value callable, Value arguments)
///   Value persistent(Machine&, Value id)
///   void build(Machine&, Value object, Value state)
struct PlainData {};

/// Runs one pickle, of any protocol.
template <class Policy = PlainData>
class Machine : public Reader {
 public:
  /// `file` names the pickle in messages. Strings of the result are views of `bytes`.
  Machine(std::span<std::byte const> bytes, std::string file, Policy policy = {})
      : Reader{bytes, std::move(file)}, policy_{std::move(policy)} {}

  /// The value that is on the stack when the pickle stops. Throws InputError with the position for
  /// anything else than plain data, a malformed pickle, and one that takes too much memory.
  Value run() {
    while (!stopped_) {
      step(opcode());
      check_memory(0);
    }
    auto const result = pop();
    if (!stack_.empty() || !marks_.empty()) fail("expected one value at the end, found several");
    stack_ = {};
    memo_ = {};
    return result;
  }

  /// As run(), and the pickle must fill all bytes.
  Value run_all() {
    auto const result = run();
    refuse_rest();
    return result;
  }

  [[nodiscard]] Values& values() { return values_; }
  [[nodiscard]] Values const& values() const { return values_; }
  [[noreturn]] void refuse_global(std::string_view module, std::string_view name) const {
    fail("expected plain data, found the global \"" + printable(module, 60) + "." +
         printable(name, 60) + "\"");
  }
  /// Refuses a value of another kind.
  void expect(Kind kind, Value value, std::string_view what) const {
    if (values_.kind(value) == kind) return;
    fail("expected " + std::string{kind_name(kind)} + " as " + std::string{what} + ", found " +
         std::string{kind_name(values_.kind(value))});
  }

 private:
  void step(Opcode opcode) {
    switch (opcode) {
      case Opcode::proto:
        return expect_protocol(number(1));
      case Opcode::frame:  // a hint of how much to read at once
        if (auto const size = number(8); size > left()) too_short("a frame", size);
        return;
      case Opcode::stop:
        stopped_ = true;
        return;
      case Opcode::mark:
        if (marks_.size() == depth_limit) fail("expected containers nested less deeply");
        return marks_.push_back(stack_.size());
      case Opcode::none:
        return push(Values::none);
      case Opcode::new_true:
        return push(Values::true_value);
      case Opcode::new_false:
        return push(Values::false_value);
      case Opcode::integer:
        return push(integer_line());
      case Opcode::long_text:
        return push(long_line());
      case Opcode::binint:
        return push(values_.integer(static_cast<std::int32_t>(number(4))));
      case Opcode::binint1:
        return push_bytes();
      case Opcode::binint2:
        return push(values_.integer(static_cast<std::int64_t>(number(2))));
      case Opcode::long1:
        return push(long_bytes(number(1)));
      case Opcode::long4:
        return push(long_bytes(number(4)));
      case Opcode::unicode:
        return push(unicode_line());
      case Opcode::binunicode:
      case Opcode::binstring:
        return push(values_.text(Kind::string, text(number(4))));
      case Opcode::short_binunicode:
      case Opcode::short_binstring:
        return push(values_.text(Kind::string, text(number(1))));
      case Opcode::binunicode8:
        return push(values_.text(Kind::string, text(number(8))));
      case Opcode::empty_list:
        return push(values_.items(Kind::list, {}));
      case Opcode::empty_tuple:
        return push(Values::empty_tuple);
      case Opcode::empty_dict:
        return push(values_.items(Kind::dict, {}));
      case Opcode::list:
        return collect(Kind::list, marked());
      case Opcode::tuple:
        return collect(Kind::tuple, marked());
      case Opcode::dict:
        return collect(Kind::dict, even(marked()));
      case Opcode::tuple1:
        return collect(Kind::tuple, 1);
      case Opcode::tuple2:
        return collect(Kind::tuple, 2);
      case Opcode::tuple3:
        return collect(Kind::tuple, 3);
      case Opcode::append:
        return extend(Kind::list, 1);
      case Opcode::appends:
        return extend(Kind::list, marked());
      case Opcode::set_item:
        return extend(Kind::dict, 2);
      case Opcode::set_items:
        return extend(Kind::dict, even(marked()));
      case Opcode::put:
        return put(index_line());
      case Opcode::binput:
        return put(number(1));
      case Opcode::long_binput:
        return put(number(4));
      case Opcode::memoize:
        return put(memo_.size());
      case Opcode::get:
        return get(index_line());
      case Opcode::binget:
        return get(number(1));
      case Opcode::long_binget:
        return get(number(4));
      case Opcode::global: {
        auto const module = line();
        return push(global(module, line()));
      }
      case Opcode::stack_global: {
        auto const [module, name] = pop_two();
        expect(Kind::string, module, "a module");
        expect(Kind::string, name, "a name");
        return push(global(values_.text(module), values_.text(name)));
      }
      case Opcode::reduce:
        if constexpr (requires { policy_.call(*this, Value{}, Value{}); }) {
          auto const [callable, arguments] = pop_two();
          return push(policy_.call(*this, callable, arguments));
        }
        break;
      case Opcode::build:
        if constexpr (requires { policy_.build(*this, Value{}, Value{}); }) {
          auto const [object, state] = pop_two();
          policy_.build(*this, object, state);
          return push(object);
        }
        break;
      case Opcode::binpersid:
        if constexpr (requires { policy_.persistent(*this, Value{}); }) {
          return push(policy_.persistent(*this, pop()));
        }
        break;
    }
    auto shown = std::array<char, 8>{};
    std::snprintf(shown.data(), shown.size(), "0x%02x", static_cast<unsigned>(opcode));
    fail(std::string{"expected an opcode that builds plain data, found "} + shown.data());
  }

  // Scalars

  Value integer_line() {
    auto const text = line();
    if (text == "00") return Values::false_value;
    if (text == "01") return Values::true_value;
    return values_.integer(parsed<std::int64_t>(text));
  }
  Value long_line() {
    auto text = line();
    if (text.ends_with('L')) text.remove_suffix(1);
    return values_.integer(parsed<std::int64_t>(text));
  }
  std::uint64_t index_line() { return parsed<std::uint64_t>(line()); }
  Value long_bytes(std::uint64_t size) {
    if (size > 8) {
      fail("expected an integer of at most 64 bits, found one of " + std::to_string(size) +
           " bytes");
    }
    if (size == 0) return values_.integer(0);
    auto const unused = 64 - 8 * size;
    auto const bits = number(size) << unused;  // the sign on top
    return values_.integer(static_cast<std::int64_t>(bits) >> unused);
  }
  Value unicode_line() {
    auto const text = line();
    if (text.find('\\') != text.npos) fail("expected a string without escapes, found a backslash");
    return values_.text(Kind::string, text);
  }
  /// A run of bytes as integers, in one go: labels are millions of them.
  void push_bytes() {
    push(values_.integer(byte("an integer")));
    for (auto value = std::uint8_t{0}; accept_binint1(value);) push(values_.integer(value));
  }
  void expect_protocol(std::uint64_t protocol) const {
    if (protocol > 5) fail("expected protocol 5 at most, found " + std::to_string(protocol));
  }

  // Stack and memo

  void check_memory(std::size_t more) const {
    auto const limit = memory_limit_bytes(size());
    if (values_.bytes() + memo_.size() * sizeof(Value) + more <= limit) return;
    fail("expected data that unpack to at most " + std::to_string(limit) + " bytes, found more");
  }
  void push(Value value) {
    if (stack_.size() == stack_limit) {
      fail("expected at most " + std::to_string(stack_limit) + " values in a container at once");
    }
    if (values_.size() == Value::index_limit) fail("expected fewer objects");
    stack_.push_back(value);
  }
  /// Values above the innermost mark.
  [[nodiscard]] std::size_t available() const {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }
  void need(std::size_t count) const {
    if (available() < count) fail("expected a value for the opcode, found none");
  }
  Value pop() {
    need(1);
    auto const value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::pair<Value, Value> pop_two() {
    need(2);
    auto const second = pop();
    return {pop(), second};
  }
  /// Takes the innermost mark away, and returns how many values stand above it.
  std::size_t marked() {
    if (marks_.empty()) fail("expected a mark before the opcode, found none");
    auto const count = available();
    marks_.pop_back();
    return count;
  }
  std::size_t even(std::size_t count) const {
    if (count % 2 != 0) fail("expected a value for every key, found a key alone");
    return count;
  }
  void collect(Kind kind, std::size_t count) {
    need(count);
    auto const first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    auto items = std::vector<Value>(first, stack_.end());
    stack_.erase(first, stack_.end());
    push(values_.items(kind, std::move(items)));
  }
  void extend(Kind kind, std::size_t count) {
    need(count + 1);
    auto const first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    auto const container = *(first - 1);
    expect(kind, container, "what grows");
    check_memory(values_.growth_bytes(container, count));
    values_.extend(container, first, stack_.end());
    stack_.erase(first, stack_.end());
  }
  /// Python numbers the memo in order (from 1 in version 2), so that another index is an attempt to
  /// have memory set aside.
  void put(std::uint64_t index) {
    need(1);
    if (index > memo_.size() + 1) {
      fail("expected a memo index up to " + std::to_string(memo_.size() + 1) + ", found " +
           std::to_string(index));
    }
    if (index >= memo_.size()) memo_.resize(index + 1);
    memo_[index] = stack_.back();
  }
  void get(std::uint64_t index) {
    if (index >= memo_.size() || !memo_[index].is_set()) {
      fail("expected a memo index that was set, found " + std::to_string(index));
    }
    push(memo_[index]);
  }

  Value global(std::string_view module, std::string_view name) {
    if constexpr (requires { policy_.global(*this, module, name); }) {
      return policy_.global(*this, module, name);
    }
    refuse_global(module, name);
  }

  Policy policy_;
  bool stopped_ = false;
  Values values_;
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::deque<Value> memo_;          // a deque grows without copies
};

}  // namespace qlora::inline v1::pickle
