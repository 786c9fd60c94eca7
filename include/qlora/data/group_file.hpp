/// Which proteins are relatives: `groups.tsv`, as `qlora prepare` and `qlora synth` write it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// The group of each record, and the split that it went to, by its identifier.
class GroupFile {
 public:
  static constexpr std::string_view header = "chunk\tprotein\toffset\tfamily\tgroup\tsplit";
  static constexpr std::size_t columns = 6;

  struct Entry {
    std::string group, split;
  };

  /// Throws InputError for another header, rows without six cells or without an identifier or a
  /// group, and for an identifier that comes with two groups.
  explicit GroupFile(std::filesystem::path const& path) : name_{path.string()} {
    auto ids = IdSet{}, members = IdSet{};  // what is refused takes little memory
    for_each_member(path, [&](Lines const& lines, std::string_view id, std::string_view group,
                              std::string_view) {
      auto const is_new = ids.insert(id);
      if (members.insert(std::string{id}.append("\t").append(group)) && !is_new) {
        lines.fail("expected '" + printable(id) + "' in one group, found another: '" +
                   printable(group) + "'");
      }
    });
    for_each_member(path, [&](Lines const&, std::string_view id, std::string_view group,
                              std::string_view of_split) {
      entries_.try_emplace(std::string{id}, Entry{std::string{group}, std::string{of_split}});
    });
  }

  std::string const& name() const { return name_; }
  /// Of a record: a chunk, or the protein that chunks are pieces of; null where it is not listed.
  Entry const* find(std::string const& id) const {
    auto const found = entries_.find(id);
    return found == entries_.end() ? nullptr : &found->second;
  }

 private:
  static std::array<std::string_view, columns> split(Lines const& lines) {
    auto cells = std::array<std::string_view, columns>{};
    auto rest = lines.line();
    for (std::size_t c = 0; c < columns; ++c) {
      auto const tab = rest.find('\t');
      if ((tab == rest.npos) != (c + 1 == columns)) {
        lines.fail("expected " + std::to_string(columns) + " cells, found another number");
      }
      cells[c] = rest.substr(0, tab);
      if (tab != rest.npos) rest.remove_prefix(tab + 1);
    }
    return cells;
  }

  /// Calls `use(lines, id, group, split)` for every chunk, and for the protein that it is a piece
  /// of.
  template <class Use>
  void for_each_member(std::filesystem::path const& path, Use&& use) const {
    auto lines = Lines{path};
    if (!lines.next() || lines.line() != header) {
      throw InputError{at(name_,
                          "expected the columns chunk, protein, offset, family, group and "
                          "split, separated by tabs, found other ones",
                          1)};
    }
    while (lines.next()) {
      if (lines.line().empty()) continue;
      auto const cells = split(lines);
      auto const& [chunk, protein, offset, family, group, of_split] = cells;
      if (chunk.empty()) lines.fail("expected the identifier of a chunk, found none");
      if (group.empty()) lines.fail("expected a group, found none");
      use(lines, chunk, group, of_split);
      if (!protein.empty() && protein != chunk) use(lines, protein, group, of_split);
    }
  }

  std::string name_;
  std::unordered_map<std::string, Entry> entries_;
};

/// The groups of some proteins, numbered as they first appear.
struct ProteinGroups {
  std::vector<std::uint32_t> of_protein;  // (proteins), below names.size()
  std::vector<std::string> names;         // (groups)

  /// Throws InputError, naming the protein, for one that the file does not list.
  static ProteinGroups of(std::span<Protein const> proteins, GroupFile const& file) {
    auto groups = ProteinGroups{};
    auto numbers = std::unordered_map<std::string, std::uint32_t>{};
    for (auto const& protein : proteins) {
      auto const* const entry = file.find(protein.id);
      if (entry == nullptr) {
        throw InputError{
            at(file.name(), "expected a group of '" + printable(protein.id) + "', found none")};
      }
      auto const [number, inserted] =
          numbers.try_emplace(entry->group, static_cast<std::uint32_t>(groups.names.size()));
      if (inserted) groups.names.push_back(entry->group);
      groups.of_protein.push_back(number->second);
    }
    return groups;
  }

  /// Where nothing is known of kinship: each protein by itself.
  static ProteinGroups of_each(std::span<Protein const> proteins) {
    auto groups = ProteinGroups{};
    for (auto const& protein : proteins) {
      groups.of_protein.push_back(static_cast<std::uint32_t>(groups.names.size()));
      groups.names.push_back(protein.id);
    }
    return groups;
  }
};

}  // namespace qlora::inline v1
