/// Reading whole files; the format is recognised by content, never by name.
#pragma once

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/fasta.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/three_line.hpp>

namespace qlora::inline v1 {

enum class DataFormat { fasta, three_line };

/// A file is in the three-line format when its third line that is not blank starts like a label
/// line; FASTA cannot have such a line. Throws InputError when the file cannot be read as text.
inline DataFormat recognise(std::filesystem::path const& path) {
  auto lines = Lines{path};
  for (auto filled = 0; filled < 3 && lines.next();) {
    if (lines.line().empty()) continue;
    if (++filled < 3) continue;
    auto const first = lines.line().front();
    if (first == '0' || first == '1' || first == '-') return DataFormat::three_line;
  }
  return DataFormat::fasta;
}

/// Calls `use(Protein&&)` for every protein of a FASTA or three-line file; labels are kept where
/// there are some. Throws InputError as for_each_fasta and for_each_three_line do.
template <class Use>
void for_each_protein(std::filesystem::path const& path, Use&& use) {
  if (recognise(path) == DataFormat::three_line) {
    for_each_three_line(path, use);
  } else {
    for_each_fasta(path, use);
  }
}

/// All proteins of such a file.
inline std::vector<Protein> read_proteins(std::filesystem::path const& path) {
  auto proteins = std::vector<Protein>{};
  for_each_protein(path, [&](Protein&& protein) { proteins.push_back(std::move(protein)); });
  return proteins;
}

/// All proteins of a labelled file, for training and evaluation. Throws InputError also when no
/// residue is labelled 0 or 1.
inline std::vector<Protein> read_binding_sites(std::filesystem::path const& path) {
  auto proteins = std::vector<Protein>{};
  auto labelled = false;
  for_each_three_line(path, [&](Protein&& protein) {
    labelled = labelled || std::ranges::any_of(protein.labels, is_known);
    proteins.push_back(std::move(protein));
  });
  if (!labelled) {
    throw InputError(
        at(path.string(), "expected residues labelled 0 or 1, found only unknown ones"));
  }
  return proteins;
}

}  // namespace qlora::inline v1
