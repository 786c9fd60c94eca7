/// Scalars as TensorBoard reads them: an event file of TFRecords, each an `Event` in protocol
/// buffers' encoding (tensorflow/core/util/event.proto, framework/summary.proto).
///
///     auto events = report::EventFile{folder / "events.out.tfevents.0.qlora", seconds};
///     events.add("train/loss", step, loss, seconds);
///     events.write();
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1::report {
namespace detail {

/// CRC-32C (Castagnoli, 1993; RFC 3720, B.4).
inline std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto table = [] {
    auto entries = std::array<std::uint32_t, 256>{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      auto value = i;
      for (auto bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f6'3b78u : 0u);
      entries[i] = value;
    }
    return entries;
  }();
  auto crc = ~std::uint32_t{0};
  for (auto const byte : bytes) {
    crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~crc;
}

/// Appends the bytes of an integer, the lowest first.
template <class Integer>
void append_little_endian(std::string& bytes, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i) {
    bytes += static_cast<char>(value >> 8 * i & 0xff);
  }
}

inline void append_varint(std::string& bytes, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  bytes += static_cast<char>(value);
}

/// A field's number and type: 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes.
inline void append_key(std::string& bytes, unsigned field, unsigned type) {
  append_varint(bytes, field << 3 | type);
}
inline void append_bytes(std::string& bytes, unsigned field, std::string_view value) {
  append_key(bytes, field, 2);
  append_varint(bytes, value.size());
  bytes += value;
}

/// Length, its checksum, the record, its checksum; checksums rotated and shifted, so that one over
/// bytes that hold one does not come out the same.
inline void append_record(std::string& file, std::string_view record) {
  auto const checksum = [&](std::string_view bytes) {
    append_little_endian(file, std::rotr(crc32c(bytes), 15) + 0xa282'ead8u);
  };
  auto length = std::string{};
  append_little_endian(length, std::uint64_t{record.size()});
  file += length;
  checksum(length);
  file += record;
  checksum(record);
}

}  // namespace detail

class EventFile {
 public:
  /// `seconds` since 1970, here and below.
  EventFile(std::filesystem::path path, double seconds) : path_{std::move(path)} {
    auto event = begin(seconds, 0);
    detail::append_bytes(event, 3, "brain.Event:2");
    detail::append_record(bytes_, event);
  }

  /// A point of the curve `tag`, such as "train/loss".
  void add(std::string_view tag, std::int64_t step, double value, double seconds) {
    auto point = std::string{};
    detail::append_bytes(point, 1, tag);
    detail::append_key(point, 2, 5);
    detail::append_little_endian(point, std::bit_cast<std::uint32_t>(static_cast<float>(value)));
    auto summary = std::string{};
    detail::append_bytes(summary, 1, point);
    auto event = begin(seconds, step);
    detail::append_bytes(event, 5, summary);
    detail::append_record(bytes_, event);
  }

  /// Replaces a file of that name, and from then on appends what was added since the last time:
  /// readers follow a file that grows. Throws InputError for a folder, device or pipe, and
  /// SystemError when it cannot.
  void write() {
    if (!file_.is_open()) {
      expect_replaceable(path_);
      file_.open(path_, std::ios::binary);
    }
    file_.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size())).flush();
    if (!file_) throw SystemError{at(path_.string(), "cannot write to it")};
    bytes_.clear();
  }

 private:
  static std::string begin(double seconds, std::int64_t step) {
    auto event = std::string{};
    detail::append_key(event, 1, 1);
    detail::append_little_endian(event, std::bit_cast<std::uint64_t>(seconds));
    detail::append_key(event, 2, 0);
    detail::append_varint(event, static_cast<std::uint64_t>(step));
    return event;
  }

  std::filesystem::path path_;
  std::string bytes_;
  std::ofstream file_;
};

}  // namespace qlora::inline v1::report
