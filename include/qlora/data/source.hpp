/// The bytes of a file, inflated where it is gzip-compressed.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <unistd.h>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/data/gzip.hpp>

namespace qlora::inline v1 {

/// Reads a file from its start to its end. Compression is recognised by content.
class Source {
 public:
  /// Throws InputError when there is no such file, or it is gzip-compressed and this program was
  /// built without zlib; SystemError when opening or reading fails.
  explicit Source(std::filesystem::path const& path)
      : name_{path.string()}, file_{detail::open_regular(path).descriptor} {
    auto head = std::array<char, 2>{};
    auto const got = ::pread(file_.get(), head.data(), head.size(), 0);
    if (got < 0) detail::throw_errno(name_, "read");
    if (std::string_view{head.data(), head.size()} != "\x1f\x8b") return;
#if defined(QLORA_HAS_ZLIB)
    inflater_ = std::make_unique<detail::Inflater>(name_);
#else
    throw InputError{at(
        name_, "expected plain text, found gzip, which this program was built without: gunzip it")};
#endif
  }

  /// At most as many bytes as `into` holds; 0 at the end of the file. Throws InputError for a gzip
  /// file that is damaged, cut short or a bomb (data/gzip.hpp), SystemError when reading fails.
  std::size_t read(std::span<char> into) {
#if defined(QLORA_HAS_ZLIB)
    if (inflater_) return inflater_->read(into, [&](std::span<char> raw) { return read_raw(raw); });
#endif
    return read_raw(into);
  }

  /// All that is left, as `read`.
  std::string read_all() {
    auto bytes = std::string{};
    for (auto block = std::size_t{1} << 16;;) {
      auto const size = bytes.size();
      bytes.resize(size + block);
      auto const got = read({bytes.data() + size, block});
      bytes.resize(size + got);
      if (got == 0) return bytes;
    }
  }

  std::string const& name() const noexcept {
    return name_;
  }

 private:
  std::size_t read_raw(std::span<char> into) {
    for (;;) {
      auto const got = ::read(file_.get(), into.data(), into.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) detail::throw_errno(name_, "read");
    }
  }

  std::string name_;
  detail::Descriptor file_;
#if defined(QLORA_HAS_ZLIB)
  std::unique_ptr<detail::Inflater> inflater_;
#endif
};

}  // namespace qlora::inline v1
