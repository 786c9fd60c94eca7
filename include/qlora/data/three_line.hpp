/// The three-line format of per-residue labels: `>id`, the sequence, and one of `0`, `1` and `-`
/// (unknown) a residue.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/record.hpp>

namespace qlora::inline v1 {

/// Calls `use(Protein&&)` for every record, in file order. Blank lines may stand between records.
/// Throws InputError on other characters, a label line of another length than its sequence, a
/// record that is cut short, an identifier that is empty or comes twice, and a file without
/// records.
template <class Use>
void for_each_three_line(std::filesystem::path const& path, Use&& use) {
  auto lines = Lines{path};
  auto seen = IdSet{};
  auto const require = [&](char const* what, std::string const& id) {
    if (lines.next() && !lines.line().empty()) return;
    lines.fail(std::string{"expected the "} + what + " of '" + printable(id) + "', found none");
  };

  for (auto is_first = true; lines.next();) {
    if (lines.line().empty()) continue;
    auto protein = Protein{.id = detail::read_id(lines, seen), .sequence = {}, .labels = {}};
    require("sequence", protein.id);
    detail::append_residues(lines, lines.line(), protein.sequence);
    require("labels", protein.id);
    auto const labels = lines.line();
    protein.labels.resize(labels.size());
    auto const bad =
        detail::for_each_byte(labels, protein.labels.data(), [](char byte, std::int8_t& label) {
          label = static_cast<std::int8_t>((byte == '1') - (byte == '-'));
          return (byte != '0') & (byte != '1') & (byte != '-');
        });
    if (bad) {
      auto const column = labels.find_first_not_of("01-");
      lines.fail("column " + std::to_string(column + 1) + ": expected a label 0, 1 or -, found " +
                 detail::quoted(labels[column]) +
                 (is_first && column == 0 ? "; FASTA has no labels" : ""));
    }
    if (labels.size() != protein.sequence.size()) {
      lines.fail("expected " + std::to_string(protein.sequence.size()) + " labels for '" +
                 printable(protein.id) + "', found " + std::to_string(labels.size()));
    }
    use(std::move(protein));
    is_first = false;
  }
  if (seen.empty()) throw InputError(at(lines.name(), "expected three-line records, found none"));
}

/// Replaces the file. Labels of a protein without any are written as unknown. Throws SystemError,
/// and what `before_protein` throws; then the file is as it was.
inline void write_three_line(
    std::filesystem::path const& path, std::span<Protein const> proteins,
    std::function<void()> const& before_protein = [] {}) {
  write_atomically(path, [&](FileWriter& file) {
    auto labels = std::string{};
    for (auto const& protein : proteins) {
      before_protein();
      labels.assign(protein.sequence.size(), '-');
      for (auto i = std::size_t{0}; i < protein.labels.size(); ++i) {
        if (is_known(protein.labels[i])) labels[i] = protein.labels[i] ? '1' : '0';
      }
      file.write(">" + protein.id + "\n" + protein.sequence + "\n" + labels + "\n");
    }
  });
}

}  // namespace qlora::inline v1
