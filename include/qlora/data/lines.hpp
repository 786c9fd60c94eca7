/// Lines of a text file, in bounded memory, with what the error messages of a reader need.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/source.hpp>

namespace qlora::inline v1 {

/// Reads a file line by line, inflating it where it is gzip-compressed. Line ends are LF or CRLF; a
/// byte order mark, and blanks at a line's end, are dropped. Throws InputError when there is no
/// such file, it holds a NUL or a line of 8 MiB or more (the longest protein known has some
/// 46,000 residues), and for what Source refuses; SystemError when opening or reading fails.
class Lines {
 public:
  static constexpr std::size_t longest_line = std::size_t{8} << 20;

  explicit Lines(std::filesystem::path const& path) : source_{path} {
    constexpr auto mark = std::string_view{"\xef\xbb\xbf"};
    while (end_ < mark.size() && !at_end_) fill();
    if (std::string_view{buffer_.data(), end_}.starts_with(mark)) begin_ = mark.size();
  }

  /// Moves to the next line; false at the end of the file.
  bool next() {
    auto newline = find_newline(begin_);
    while (newline == end_ && !at_end_) {
      auto const seen = end_ - begin_;
      fill();
      newline = find_newline(begin_ + seen);
    }
    if (begin_ == end_) return false;
    line_ = std::string_view{buffer_.data() + begin_, newline - begin_};
    begin_ = std::min(newline + 1, end_);
    ++number_;
    if (has_nul_ && line_.find('\0') != std::string_view::npos) {
      fail("expected text, found a NUL byte");
    }
    if (line_.ends_with('\r')) line_.remove_suffix(1);
    return true;
  }

  /// The current line without blanks at its end; valid until the next call of next().
  std::string_view line() const noexcept {
    return line_.substr(0, line_.find_last_not_of(" \t\r") + 1);  // npos + 1 is 0
  }
  /// The current line with the tabs and blanks at its end, which separate empty cells of a table.
  std::string_view whole_line() const noexcept { return line_; }
  std::size_t number() const noexcept { return number_; }
  std::string const& name() const noexcept { return source_.name(); }

  /// Throws InputError "FILE:LINE: what" for the current line.
  [[noreturn]] void fail(std::string_view what) const {
    throw InputError(at(name(), what, number_));
  }

 private:
  std::size_t find_newline(std::size_t from) const {
    auto const* const hit = std::memchr(buffer_.data() + from, '\n', end_ - from);
    return hit ? static_cast<std::size_t>(static_cast<char const*>(hit) - buffer_.data()) : end_;
  }

  /// Moves the unread part to the front and reads on behind it; a longer line doubles the buffer.
  void fill() {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
    if (end_ == buffer_.size()) {
      if (end_ >= longest_line) {
        ++number_;
        fail("expected lines of fewer than " + std::to_string(longest_line) + " bytes, found more");
      }
      buffer_.resize(std::max(std::size_t{1} << 18, 2 * buffer_.size()));
    }
    auto const fresh = std::span{buffer_}.subspan(end_);
    auto const got = source_.read(fresh);
    at_end_ = got == 0;
    has_nul_ = has_nul_ || std::memchr(fresh.data(), '\0', got) != nullptr;
    end_ += got;
  }

  Source source_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  ///< unread bytes are buffer_[begin_, end_)
  std::size_t end_ = 0;
  bool at_end_ = false;
  bool has_nul_ = false;  ///< somewhere in what was read so far
  std::string_view line_;
  std::size_t number_ = 0;
};

}  // namespace qlora::inline v1
