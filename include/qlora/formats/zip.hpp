/// The table of contents of a zip archive as torch writes it: nothing is compressed, so that every
/// member is a part of the file. Checksums are not compared; torch itself may leave them out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1 {

class ZipArchive {
 public:
  struct Member {
    std::string_view name;
    std::span<std::byte const> bytes;
  };

  /// Whether a file of these first bytes is a zip archive.
  static bool recognise(std::span<std::byte const> bytes) {
    return as_text(bytes).starts_with("PK\x03\x04");
  }

  /// Throws InputError, naming `file`, when the central directory is damaged or does not fill its
  /// place, and for members that are compressed or encrypted, overlap each other, have the same
  /// name, or one that leads out of a folder. Members are views of `bytes`.
  ZipArchive(std::span<std::byte const> bytes, std::string_view file) : bytes_{bytes}, file_{file} {
    auto const [count, begin, end] = find_directory();
    auto at = begin;
    // A record takes more bytes than a Member does, so that a false count cannot cost memory.
    for (auto i = std::uint64_t{0}; i < count; ++i) at = read_record(at, end);
    if (at != end) fail("expected a central directory of " + std::to_string(count) + " members");
    refuse_overlaps(begin);
    std::ranges::sort(members_, {}, &Placed::name);
    auto const twice = std::ranges::adjacent_find(members_, {}, &Placed::name);
    if (twice != members_.end()) fail("duplicate member \"" + printable(twice->name) + "\"");
  }

  /// Ordered by name.
  [[nodiscard]] auto const& members() const noexcept { return members_; }

  /// The member of that name, or null.
  [[nodiscard]] Member const* find(std::string_view name) const {
    auto const found = std::ranges::lower_bound(members_, name, {}, &Placed::name);
    return found != members_.end() && found->name == name ? &*found : nullptr;
  }

 private:
  struct Placed : Member {
    std::uint64_t header_at = 0;
  };
  struct Directory {
    std::uint64_t members, begin, end;
  };

  // Records of the format (PKWARE's APPNOTE.TXT, 4.3): signatures and sizes of their fixed parts.
  static constexpr std::uint32_t local_signature = 0x04034b50;
  static constexpr std::uint32_t central_signature = 0x02014b50;
  static constexpr std::uint32_t end_signature = 0x06054b50;
  static constexpr std::uint32_t end64_signature = 0x06064b50;
  static constexpr std::uint32_t locator64_signature = 0x07064b50;
  static constexpr std::size_t local_bytes = 30;
  static constexpr std::size_t central_bytes = 46;
  static constexpr std::size_t end_bytes = 22;
  static constexpr std::size_t end64_bytes = 56;
  static constexpr std::size_t locator64_bytes = 20;

  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{at(file_, "zip archive: " + what)};
  }

  template <class T>
  T field(std::uint64_t at) const {
    auto value = T{};
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }
  [[nodiscard]] bool holds(std::uint64_t at, std::uint64_t size, std::uint64_t end) const {
    return at <= end && size <= end - at;
  }

  /// The end record is the last thing in the file; only a comment may follow it.
  Directory find_directory() const {
    constexpr auto longest_comment = std::size_t{65'535};
    auto const lowest = bytes_.size() - std::min(bytes_.size(), end_bytes + longest_comment);
    if (bytes_.size() < end_bytes) fail("expected an end record, found none");
    for (auto at = bytes_.size() - end_bytes;; --at) {
      if (field<std::uint32_t>(at) == end_signature &&
          at + end_bytes + field<std::uint16_t>(at + 20) == bytes_.size()) {
        return directory_of(at);
      }
      if (at == lowest) fail("expected an end record, found none: the file may be truncated");
    }
  }

  Directory directory_of(std::uint64_t end_record) const {
    if (field<std::uint16_t>(end_record + 4) != 0 || field<std::uint16_t>(end_record + 6) != 0) {
      fail("expected one volume, found several");
    }
    auto count = std::uint64_t{field<std::uint16_t>(end_record + 10)};
    auto size = std::uint64_t{field<std::uint32_t>(end_record + 12)};
    auto begin = std::uint64_t{field<std::uint32_t>(end_record + 16)};
    auto end = end_record;
    auto const locator = end_record - locator64_bytes;
    if (end_record >= locator64_bytes && field<std::uint32_t>(locator) == locator64_signature) {
      end = field<std::uint64_t>(locator + 8);
      if (!holds(end, end64_bytes, locator) || field<std::uint32_t>(end) != end64_signature) {
        fail("expected a zip64 end record where its locator says, found none");
      }
      count = field<std::uint64_t>(end + 32);
      size = field<std::uint64_t>(end + 40);
      begin = field<std::uint64_t>(end + 48);
    }
    if (!holds(begin, size, end) || begin + size != end) {
      fail("expected a central directory that ends where the end record begins");
    }
    return {count, begin, end};
  }

  /// Returns where the next record begins.
  std::uint64_t read_record(std::uint64_t at, std::uint64_t end) {
    if (!holds(at, central_bytes, end) || field<std::uint32_t>(at) != central_signature) {
      fail("expected a record of the central directory at byte " + std::to_string(at));
    }
    auto const name_size = field<std::uint16_t>(at + 28);
    auto const extra_size = field<std::uint16_t>(at + 30);
    auto const comment_size = field<std::uint16_t>(at + 32);
    auto const next = at + central_bytes + name_size + extra_size + comment_size;
    if (next > end) fail("expected the central directory to hold its last record");

    auto member = Placed{};
    member.name = as_text(bytes_.subspan(at + central_bytes, name_size));
    check_name(member.name);
    auto const complain = [&](std::string const& what) {
      fail("member \"" + printable(member.name) + "\": " + what);
    };
    auto packed = std::uint64_t{field<std::uint32_t>(at + 20)};
    auto size = std::uint64_t{field<std::uint32_t>(at + 24)};
    member.header_at = field<std::uint32_t>(at + 42);
    auto const extra = bytes_.subspan(at + central_bytes + name_size, extra_size);
    if (!widen({&size, &packed, &member.header_at}, extra)) {
      complain("expected sizes of 64 bits in its extra field");
    }
    if ((field<std::uint16_t>(at + 8) & 1u) != 0) complain("expected it unencrypted");
    if (field<std::uint16_t>(at + 10) != 0 || packed != size) {
      complain("expected it stored as it is, as torch does, found it compressed");
    }
    auto const header = member.header_at;
    if (!holds(header, local_bytes, end) || field<std::uint32_t>(header) != local_signature) {
      complain("expected its header at byte " + std::to_string(header) + ", found none");
    }
    auto const data = header + local_bytes + field<std::uint16_t>(header + 26) +
                      field<std::uint16_t>(header + 28);
    if (!holds(data, size, end)) complain("expected it inside the file");
    if (as_text(bytes_.subspan(header + local_bytes, field<std::uint16_t>(header + 26))) !=
        member.name) {
      complain("expected the same name in its header");
    }
    member.bytes = bytes_.subspan(data, size);
    members_.push_back(member);
    return next;
  }

  /// Fields that do not fit 32 bits are all ones there, and follow in the extra field with id 1.
  bool widen(std::vector<std::uint64_t*> const& fields, std::span<std::byte const> extra) const {
    auto wide = std::span<std::byte const>{};
    while (extra.size() >= 4) {
      auto id = std::uint16_t{0};
      auto size = std::uint16_t{0};
      std::memcpy(&id, extra.data(), sizeof id);
      std::memcpy(&size, extra.data() + 2, sizeof size);
      if (size > extra.size() - 4) return false;
      if (id == 1) wide = extra.subspan(4, size);
      extra = extra.subspan(4u + size);
    }
    for (auto* const field : fields) {
      if (*field != 0xffffffff) continue;
      if (wide.size() < sizeof *field) return false;
      std::memcpy(field, wide.data(), sizeof *field);
      wide = wide.subspan(sizeof *field);
    }
    return true;
  }

  /// Nothing is unpacked to where names say; one that leads elsewhere is an attack all the same.
  void check_name(std::string_view name) const {
    auto const parts = "/" + std::string{name} + "/";
    auto const plain = !name.empty() && name.front() != '/' &&
                       name.find_first_of(std::string_view{"\\:\0", 3}) == name.npos &&
                       parts.find("/../") == parts.npos;
    if (!plain) {
      fail("expected names of files in its folders, found the member \"" + printable(name) + "\"");
    }
  }

  /// Headers and data of all members must lie one behind the other, before the central directory.
  void refuse_overlaps(std::uint64_t end) {
    std::ranges::sort(members_, {}, &Placed::header_at);
    auto free = std::uint64_t{0};
    for (auto const& member : members_) {
      auto const data_end =
          static_cast<std::uint64_t>(member.bytes.data() - bytes_.data()) + member.bytes.size();
      if (member.header_at < free || data_end > end) {
        fail("member \"" + printable(member.name) + "\" overlaps another or the directory");
      }
      free = data_end;
    }
  }

  std::span<std::byte const> bytes_;
  std::string file_;
  std::vector<Placed> members_;
};

}  // namespace qlora::inline v1
