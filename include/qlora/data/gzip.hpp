/// Inflates gzip files as they are read, in bounded memory. Needs zlib: the macro QLORA_HAS_ZLIB,
/// which `qlora::zlib` sets, must be the same in every source of a program.
#pragma once

#if defined(QLORA_HAS_ZLIB)

#include <array>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include <zlib.h>

#include <qlora/core/error.hpp>

namespace qlora::inline v1::detail {

/// One gzip file, of one member or several. Throws InputError, with the name it was given, when
/// the stream is damaged or cut short, when something else follows it, and when it grows as only a
/// bomb does: more than 200-fold, past 16 MiB.
class Inflater {
 public:
  static constexpr std::uint64_t most_growth = 200;
  static constexpr std::uint64_t unsuspicious_bytes = std::uint64_t{16} << 20;

  explicit Inflater(std::string name) : name_{std::move(name)} {
    constexpr auto gzip_only = 16;
    if (::inflateInit2(&stream_, MAX_WBITS + gzip_only) != Z_OK) out_of_memory();
  }
  Inflater(Inflater const&) = delete;
  Inflater& operator=(Inflater const&) = delete;
  ~Inflater() { ::inflateEnd(&stream_); }

  /// Inflated bytes, at most as many as `into` holds; 0 at the end. `refill(span)` gives more of
  /// the file in the same manner.
  template <class Refill>
  std::size_t read(std::span<char> into, Refill&& refill) {
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = static_cast<uInt>(into.size());
    while (stream_.avail_out == into.size()) {
      if (stream_.avail_in == 0) {
        auto const got = refill(std::span<char>{input_});
        if (got == 0 && at_member_end_) return 0;
        if (got == 0) fail("expected a whole gzip file, found it cut short");
        read_ += got;
        stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
        stream_.avail_in = static_cast<uInt>(got);
      }
      if (at_member_end_) {
        if (*stream_.next_in != 0x1f) fail("expected the gzip file to end, found further bytes");
        ::inflateReset(&stream_);
        at_member_end_ = false;
      }
      inflate_some();
    }
    auto const given = into.size() - stream_.avail_out;
    given_ += given;
    if (given_ > unsuspicious_bytes && given_ > most_growth * taken()) {
      fail("expected a gzip file that grows at most " + std::to_string(most_growth) +
           "-fold, found more");
    }
    return given;
  }

 private:
  /// Bytes of the file that are inflated.
  std::uint64_t taken() const { return read_ - stream_.avail_in; }

  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{at(name_, "byte " + std::to_string(taken()) + ": " + what)};
  }

  [[noreturn]] void out_of_memory() const {
    constexpr auto window = std::size_t{1} << MAX_WBITS;
    throw SystemError{at(
        name_, "cannot allocate the " + std::to_string(window) + " bytes that inflating it needs")};
  }

  void inflate_some() {
    auto const status = ::inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) out_of_memory();
    at_member_end_ = status == Z_STREAM_END;
    if (at_member_end_ || status == Z_OK || status == Z_BUF_ERROR) return;
    auto const reason = std::string_view{stream_.msg != nullptr ? stream_.msg : "unknown reason"};
    fail(std::string{"expected a sound gzip file, found damage: "}.append(reason));
  }

  std::string name_;
  ::z_stream stream_{};
  std::array<char, 1 << 16> input_;
  std::uint64_t read_ = 0;   ///< bytes of the file
  std::uint64_t given_ = 0;  ///< bytes of what it holds
  bool at_member_end_ = false;
};

}  // namespace qlora::inline v1::detail

#endif
