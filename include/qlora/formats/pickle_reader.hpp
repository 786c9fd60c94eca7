/// Arguments of opcodes: numbers, strings and lines, never read beyond the end.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/formats/pickle_opcodes.hpp>

namespace qlora::inline v1::pickle {

/// The bytes of a pickle. Every error is an InputError that names the place of the latest opcode.
class Reader {
 public:
  /// `file` names the pickle in messages.
  Reader(std::span<std::byte const> bytes, std::string file)
      : bytes_{bytes}, file_{std::move(file)} {}

  /// Bytes read.
  [[nodiscard]] std::size_t position() const { return at_; }
  [[nodiscard]] std::string const& file() const { return file_; }

  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{at(file_, "byte " + std::to_string(opcode_at_) + ": " + what)};
  }

 protected:
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }

  Opcode opcode() {
    opcode_at_ = at_;
    return static_cast<Opcode>(byte("an opcode"));
  }
  /// The argument, if the next opcode is the one-byte integer's.
  bool accept_binint1(std::uint8_t& value) {
    if (left() < 2 || bytes_[at_] != static_cast<std::byte>(Opcode::binint1)) return false;
    value = static_cast<std::uint8_t>(bytes_[at_ + 1]);
    at_ += 2;
    return true;
  }
  void refuse_rest() {
    opcode_at_ = at_;
    if (left() == 0) return;
    fail("expected the end of the file, found " + std::to_string(left()) + " more bytes");
  }

  [[noreturn]] void too_short(std::string_view what, std::uint64_t wanted) const {
    fail("expected " + std::string{what} + " of " + std::to_string(wanted) + " bytes, found " +
         std::to_string(left()) + " before the end");
  }
  std::uint8_t byte(std::string_view what) {
    if (at_ == bytes_.size()) fail("expected " + std::string{what} + ", found the end of the file");
    return static_cast<std::uint8_t>(bytes_[at_++]);
  }
  /// Little-endian.
  std::uint64_t number(std::size_t size) {
    if (size > left()) too_short("a number", size);
    auto value = std::uint64_t{0};
    std::memcpy(&value, bytes_.data() + at_, size);
    at_ += size;
    return value;
  }
  std::string_view text(std::uint64_t size) {
    if (size > left()) too_short("a string", size);
    auto const found = as_text(bytes_.subspan(at_, size));
    at_ += size;
    return found;
  }
  std::string_view line() {
    auto const rest = as_text(bytes_.subspan(at_));
    auto const end = rest.find('\n');
    if (end == rest.npos) fail("expected a line, found no end of one");
    at_ += end + 1;
    return rest.substr(0, end);
  }

  template <class T>
  T parsed(std::string_view text) const {
    auto value = T{};
    auto const end = text.data() + text.size();
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end is given
    auto const [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stop != end) {
      fail("expected an integer of at most 64 bits, found \"" + printable(text, 40) + "\"");
    }
    return value;
  }

 private:
  std::span<std::byte const> bytes_;
  std::string file_;
  std::size_t at_ = 0;
  std::size_t opcode_at_ = 0;
};

}  // namespace qlora::inline v1::pickle
