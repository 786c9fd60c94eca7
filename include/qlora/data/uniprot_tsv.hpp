/// Tables exported from UniProt: a header that names the columns, then an entry a line.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/data/annotation.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/record.hpp>
#include <qlora/data/table_row.hpp>
#include <qlora/data/uniprot_feature.hpp>

namespace qlora::inline v1 {

namespace detail {

/// Where the columns are that this reader uses.
struct UniprotColumns {
  static constexpr auto absent = std::numeric_limits<std::size_t>::max();
  static constexpr auto site_names =
      std::array{std::string_view{"Binding site"}, std::string_view{"Active site"},
                 std::string_view{"Metal binding"}, std::string_view{"Calcium binding"},
                 std::string_view{"Nucleotide binding"}};

  std::size_t entry = absent;
  std::size_t sequence = absent;
  std::size_t family = absent;
  std::array<std::size_t, site_names.size()> sites{absent, absent, absent, absent, absent};
  std::size_t count = 0;

  /// Throws InputError for a header that lacks what is needed, or names a column twice.
  UniprotColumns(Lines const& lines, TableRow const& header) : count{header.size()} {
    for (auto i = std::size_t{0}; i < count; ++i) {
      auto const name = trimmed(header[i]);
      auto const take = [&](std::size_t& column, std::string_view wanted) {
        if (name != wanted) return;
        if (column != absent) {
          lines.fail("expected one column '" + std::string{wanted} + "', found two");
        }
        column = i;
      };
      take(entry, "Entry");
      take(sequence, "Sequence");
      take(family, "Protein families");
      for (auto s = std::size_t{0}; s < sites.size(); ++s) take(sites[s], site_names[s]);
    }
    auto const require = [&](bool found, char const* what) {
      if (!found) lines.fail(std::string{"expected a column "} + what + ", found none");
    };
    require(entry != absent, "'Entry'");
    require(sequence != absent, "'Sequence'");
    require(std::ranges::any_of(sites, [](auto column) { return column != absent; }),
            "of sites, 'Binding site' or 'Active site'");
  }
};

}  // namespace detail

/// Calls `use(AnnotatedProtein&&)` for every entry, in file order. Columns are found by their
/// names: Entry, Sequence and at least one of sites are needed, Protein families is used, others
/// are ignored. Throws InputError when a column is missing or a row has another number of them, for
/// an entry that is unnamed or comes twice, and for what TableRow and parse_features refuse.
template <class Use>
void for_each_uniprot_row(std::filesystem::path const& path, Use&& use) {
  auto lines = Lines{path};
  auto row = TableRow{};
  while (lines.next() && lines.line().empty()) continue;
  row.parse(lines);
  auto const columns = detail::UniprotColumns{lines, row};
  auto seen = IdSet{};

  while (lines.next()) {
    if (lines.line().empty()) continue;
    row.parse(lines);
    if (row.size() != columns.count) {
      lines.fail("expected " + std::to_string(columns.count) + " columns, found " +
                 std::to_string(row.size()));
    }
    auto protein = AnnotatedProtein{};
    protein.id = detail::new_id(lines, detail::trimmed(row[columns.entry]), seen);
    auto const sequence = detail::trimmed(row[columns.sequence]);
    if (sequence.empty()) {
      lines.fail("expected a sequence for '" + printable(protein.id) + "', found none");
    }
    detail::append_residues(lines, sequence, protein.sequence);
    if (columns.family != columns.absent) protein.family = detail::trimmed(row[columns.family]);
    for (auto i = std::size_t{0}; i < columns.sites.size(); ++i) {
      if (columns.sites[i] == columns.absent) continue;
      parse_features(row[columns.sites[i]], protein.sequence.size(), protein.sites,
                     [&](std::string const& sentence) {
                       lines.fail(std::string{columns.site_names[i]} + ": " + sentence);
                     });
    }
    use(std::move(protein));
  }
  if (seen.empty()) throw InputError{at(lines.name(), "expected UniProt entries, found none")};
}

}  // namespace qlora::inline v1
