/// Which format a file is in: told from its content, never from its name.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include <qlora/data/lines.hpp>
#include <qlora/data/pickled.hpp>
#include <qlora/data/source.hpp>

namespace qlora::inline v1 {

/// Formats of proteins; each has a reader in a header of its own. A new one is a name here, a rule
/// in recognise() and a case in for_each_annotated() (data/read.hpp).
enum class DataFormat : std::uint8_t { fasta, three_line, uniprot_tsv, uniprot_text, yu, pickled };

/// As messages and reports name it.
constexpr std::string_view format_name(DataFormat format) {
  switch (format) {
    case DataFormat::fasta:
      return "FASTA";
    case DataFormat::three_line:
      return "three lines a protein";
    case DataFormat::uniprot_tsv:
      return "UniProt table";
    case DataFormat::uniprot_text:
      return "UniProt flat text";
    case DataFormat::yu:
      return "residues listed by chain";
    case DataFormat::pickled:
      return "pickled lists";
  }
  return {};
}

/// The format of a file, gzip-compressed or not; FASTA when there is hardly anything in it, so that
/// its reader says what is missing. Throws InputError when the file cannot be read as text, and for
/// a first line of no format.
inline DataFormat recognise(std::filesystem::path const& path) {
  auto head = std::array<char, 3>{};
  auto const got = Source{path}.read(head);
  if (is_pickle({head.data(), got})) return DataFormat::pickled;
  auto lines = Lines{path};
  auto const next_filled = [&] {
    while (lines.next()) {
      if (!lines.line().empty()) return true;
    }
    return false;
  };
  if (!next_filled()) return DataFormat::fasta;
  auto const line = lines.line();
  if (line.starts_with("ID   ")) return DataFormat::uniprot_text;
  if (!line.starts_with('>')) {
    if (line.find('\t') != line.npos &&
        (line.find("Entry") != line.npos || line.find("Sequence") != line.npos)) {
      return DataFormat::uniprot_tsv;
    }
    if (line.find(';') != line.npos) return DataFormat::yu;
    lines.fail(
        "expected '>', the columns of a UniProt table between tabs, 'ID' of its flat text, or a "
        "table of Yu et al., found '" +
        printable(line, 40) + "'");
  }
  // The third line is one of labels; FASTA cannot have such a line.
  for (auto lines_on = 0; lines_on < 2; ++lines_on) {
    if (!next_filled()) return DataFormat::fasta;
  }
  auto const first = lines.line().front();
  return first == '0' || first == '1' || first == '-' ? DataFormat::three_line : DataFormat::fasta;
}

}  // namespace qlora::inline v1
