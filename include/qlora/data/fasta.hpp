/// FASTA: `>id description`, then the sequence in any number of lines.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/record.hpp>

namespace qlora::inline v1 {

/// Calls `use(Protein&&)` for every record, in file order. Any letter is a residue, lower case is
/// raised, one `*` may end a sequence, blank lines are skipped. Memory holds the longest record and
/// the identifiers. Throws InputError on gaps and other characters, an inner `*`, an empty record
/// or identifier, an identifier that comes twice, text before the first `>`, and a file without
/// records.
template <class Use>
void for_each_fasta(std::filesystem::path const& path, Use&& use) {
  auto lines = Lines{path};
  auto seen = IdSet{};
  auto protein = Protein{};
  auto header_line = std::size_t{0};
  auto ended = false;  // by a '*'

  auto const finish = [&] {
    if (header_line == 0) return;
    if (protein.sequence.empty()) {
      throw InputError(at(lines.name(),
                          "expected a sequence for '" + printable(protein.id) + "', found none",
                          header_line));
    }
    auto const expected_residues = protein.sequence.size();
    use(std::exchange(protein, Protein{}));
    protein.sequence.reserve(expected_residues);
  };

  while (lines.next()) {
    auto line = lines.line();
    if (line.empty()) continue;
    if (line.front() == '>' || header_line == 0) {
      finish();
      protein.id = detail::read_id(lines, seen);
      header_line = lines.number();
      ended = false;
      continue;
    }
    if (ended) lines.fail("expected the next record after '*', found more residues");
    if (line.back() == '*') {
      ended = true;
      line.remove_suffix(1);
    }
    detail::append_residues(lines, line, protein.sequence);
  }
  if (header_line == 0) throw InputError(at(lines.name(), "expected FASTA records, found none"));
  finish();
}

}  // namespace qlora::inline v1
