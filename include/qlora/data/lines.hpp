/// Lines of a text file, in bounded memory, with what the error messages of a reader need.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1 {

/// Reads a file line by line. Line ends are LF or CRLF; a byte order mark, and blanks at a line's
/// end, are dropped. Throws InputError when there is no such file, it is gzip-compressed or holds a
/// NUL, SystemError when opening or reading fails.
class Lines {
 public:
  explicit Lines(std::filesystem::path const& path)
      : name_{path.string()}, file_{detail::open_regular(path).descriptor} {
    fill();
    auto const head = std::string_view{buffer_.data(), end_};
    if (head.starts_with("\x1f\x8b")) {
      throw InputError(at(name_, "is gzip-compressed, expected plain text: decompress it first"));
    }
    if (head.starts_with("\xef\xbb\xbf")) begin_ = 3;
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
    if (line_.find('\0') != std::string_view::npos) fail("expected text, found a NUL byte");
    auto const last = line_.find_last_not_of(" \t\r");
    line_ = line_.substr(0, last + 1);  // npos + 1 is 0
    return true;
  }

  /// The current line; valid until the next call of next().
  std::string_view line() const noexcept { return line_; }
  std::size_t number() const noexcept { return number_; }
  std::string const& name() const noexcept { return name_; }

  /// Throws InputError "FILE:LINE: what" for the current line.
  [[noreturn]] void fail(std::string_view what) const {
    throw InputError(at(name_, what, number_));
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
    if (end_ == buffer_.size()) buffer_.resize(std::max(std::size_t{1} << 18, 2 * buffer_.size()));
    auto const got = ::read(file_.get(), buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0 && errno != EINTR) detail::throw_errno(name_, "read");
    if (got == 0) at_end_ = true;
    if (got > 0) end_ += static_cast<std::size_t>(got);
  }

  std::string name_;
  detail::Descriptor file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  ///< unread bytes are buffer_[begin_, end_)
  std::size_t end_ = 0;
  bool at_end_ = false;
  std::string_view line_;
  std::size_t number_ = 0;
};

}  // namespace qlora::inline v1
