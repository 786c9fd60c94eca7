/// Zip archives made by hand, and damaged at will.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace qlora::testing {

/// The bytes of an integer.
template <class T>
std::string little_endian(T value) {
  auto bytes = std::string(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

struct ArchiveMember {
  std::string name;
  std::string content;
  std::uint16_t method = 0;
  std::uint16_t flags = 0;
  std::string header_name{};    // empty: the same
  std::int64_t header_at = -1;  // -1: where it is
  std::string extra{};
  std::int64_t size = -1;  // in the directory; -1: the content's
};

struct ArchiveEnd {
  int more_members = 0;  // than there are
  bool zip64 = false;
  std::string comment{};
};

/// Local headers carry no sizes, as those of torch.
inline std::string archive(std::vector<ArchiveMember> const& members, ArchiveEnd const& end = {}) {
  using U16 = std::uint16_t;
  using U32 = std::uint32_t;
  using U64 = std::uint64_t;
  auto file = std::string{};
  auto directory = std::string{};
  for (auto const& member : members) {
    auto const& name = member.header_name.empty() ? member.name : member.header_name;
    auto const at = member.header_at < 0 ? file.size() : static_cast<U64>(member.header_at);
    auto const size =
        member.size < 0 ? static_cast<U32>(member.content.size()) : static_cast<U32>(member.size);
    file += "PK\3\4" + std::string(22, '\0') + little_endian(static_cast<U16>(name.size())) +
            little_endian(U16{0}) + name + member.content;
    directory += std::string{"PK\1\2"} + std::string(4, '\0') + little_endian(member.flags) +
                 little_endian(member.method) + std::string(8, '\0') + little_endian(size) +
                 little_endian(size) + little_endian(static_cast<U16>(member.name.size())) +
                 little_endian(static_cast<U16>(member.extra.size())) + std::string(10, '\0') +
                 little_endian(static_cast<U32>(at)) + member.name + member.extra;
  }
  auto const count = members.size() + static_cast<std::size_t>(end.more_members);
  auto const begin = file.size();
  file += directory;
  if (end.zip64) {
    auto const end_at = file.size();
    file += std::string{"PK\6\6"} + little_endian(U64{44}) + std::string(12, '\0') +
            little_endian(U64{count}) + little_endian(U64{count}) +
            little_endian(U64{directory.size()}) + little_endian(U64{begin});
    file += std::string{"PK\6\7"} + std::string(4, '\0') + little_endian(U64{end_at}) +
            little_endian(U32{1});
  }
  return file + "PK\5\6" + std::string(4, '\0') + little_endian(static_cast<U16>(count)) +
         little_endian(static_cast<U16>(count)) +
         little_endian(static_cast<U32>(directory.size())) +
         little_endian(end.zip64 ? ~U32{0} : static_cast<U32>(begin)) +
         little_endian(static_cast<U16>(end.comment.size())) + end.comment;
}

}  // namespace qlora::testing
