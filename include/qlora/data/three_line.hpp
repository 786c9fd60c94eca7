/// The three-line format of per-residue labels: `>id`, the sequence, and one of `0`, `1` and `-`
/// (unknown) a residue.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
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
  auto seen = std::unordered_set<std::string>{};
  auto const require = [&](char const* what, std::string const& id) {
    if (lines.next() && !lines.line().empty()) return;
    lines.fail(std::string{"expected the "} + what + " of '" + printable(id) + "', found none");
  };

  while (lines.next()) {
    if (lines.line().empty()) continue;
    auto protein = Protein{.id = detail::read_id(lines, seen), .sequence = {}, .labels = {}};
    require("sequence", protein.id);
    detail::append_residues(lines, lines.line(), protein.sequence);
    require("labels", protein.id);
    auto const labels = lines.line();
    protein.labels.reserve(labels.size());
    for (auto const label : labels) {
      switch (label) {
        case '0':
          protein.labels.push_back(label_negative);
          break;
        case '1':
          protein.labels.push_back(label_positive);
          break;
        case '-':
          protein.labels.push_back(label_unknown);
          break;
        default:
          lines.fail("column " + std::to_string(protein.labels.size() + 1) +
                     ": expected a label 0, 1 or -, found " + detail::quoted(label));
      }
    }
    if (labels.size() != protein.sequence.size()) {
      lines.fail("expected " + std::to_string(protein.sequence.size()) + " labels for '" +
                 printable(protein.id) + "', found " + std::to_string(labels.size()));
    }
    use(std::move(protein));
  }
  if (seen.empty()) throw InputError(at(lines.name(), "expected three-line records, found none"));
}

/// Replaces the file. Labels of a protein without any are written as unknown. Throws SystemError.
inline void write_three_line(std::filesystem::path const& path, std::span<Protein const> proteins) {
  write_atomically(path, [&](FileWriter& file) {
    auto labels = std::string{};
    for (auto const& protein : proteins) {
      labels.assign(protein.sequence.size(), '-');
      for (auto i = std::size_t{0}; i < protein.labels.size(); ++i) {
        if (is_known(protein.labels[i])) labels[i] = protein.labels[i] ? '1' : '0';
      }
      file.write(">" + protein.id + "\n" + protein.sequence + "\n" + labels + "\n");
    }
  });
}

}  // namespace qlora::inline v1
