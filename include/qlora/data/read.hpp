/// Reading whole files; the format is recognised by content, never by name, and so is gzip.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/annotation.hpp>
#include <qlora/data/fasta.hpp>
#include <qlora/data/format.hpp>
#include <qlora/data/labels.hpp>
#include <qlora/data/pickled.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/three_line.hpp>
#include <qlora/data/uniprot_text.hpp>
#include <qlora/data/uniprot_tsv.hpp>
#include <qlora/data/yu.hpp>

namespace qlora::inline v1 {

/// Calls `use(AnnotatedProtein&&)` for every record of a file in that format, in file order. Throws
/// InputError as the format's reader does.
template <class Use>
void for_each_annotated(std::filesystem::path const& path, DataFormat format, Use&& use) {
  auto const from_protein = [&](Protein&& protein) {
    use(AnnotatedProtein{.id = std::move(protein.id),
                         .sequence = std::move(protein.sequence),
                         .labels = std::move(protein.labels),
                         .sites = {},
                         .family = {}});
  };
  switch (format) {
    case DataFormat::fasta:
      return for_each_fasta(path, from_protein);
    case DataFormat::three_line:
      return for_each_three_line(path, from_protein);
    case DataFormat::uniprot_tsv:
      return for_each_uniprot_row(path, use);
    case DataFormat::uniprot_text:
      return for_each_uniprot_text(path, use);
    case DataFormat::yu:
      return for_each_yu(path, use);
    case DataFormat::pickled:
      return for_each_pickled(path, from_protein);
  }
}

/// Calls `use(Protein&&)` for every protein of a file in any format. Labels are kept where there
/// are some; a protein whose sites cannot be used has none.
template <class Use>
void for_each_protein(std::filesystem::path const& path, Use&& use) {
  for_each_annotated(path, recognise(path), [&](AnnotatedProtein&& record) {
    if (record.labels.empty()) record.labels = label(record, {}).labels;
    use(Protein{.id = std::move(record.id),
                .sequence = std::move(record.sequence),
                .labels = std::move(record.labels)});
  });
}

/// All proteins of such a file. It is read twice, and nothing is kept before its end was seen: what
/// is refused takes no memory (but of pickles, which are held whole).
inline std::vector<Protein> read_proteins(std::filesystem::path const& path) {
  auto count = std::size_t{0};
  for_each_protein(path, [&](Protein const&) { ++count; });
  auto proteins = std::vector<Protein>{};
  proteins.reserve(count);
  for_each_protein(path, [&](Protein&& protein) { proteins.push_back(std::move(protein)); });
  return proteins;
}

/// Proteins of a labelled file, and how many of it were left out.
struct BindingSites {
  std::vector<Protein> proteins;
  SkipCounts skipped;
};

/// All proteins with labels of a file in any format but FASTA, for training and evaluation. It is
/// read twice, as by `read_proteins`. Throws InputError also when no residue is labelled 0 or 1.
inline BindingSites read_labelled(std::filesystem::path const& path,
                                  LabelPolicy const& policy = {}) {
  check(policy);
  // What starts with '>' should have three lines a protein: that reader says where it has not.
  auto const found = recognise(path);
  auto const format = found == DataFormat::fasta ? DataFormat::three_line : found;
  auto const for_each = [&](auto&& use, auto&& skip) {
    for_each_annotated(path, format, [&](AnnotatedProtein&& record) {
      auto labelling = label(record, policy);
      if (labelling.skipped == skip_reason::no_labels) {  // one of a file that labels others
        labelling.labels = std::move(record.labels);
      } else if (!labelling.skipped.empty()) {
        return skip(labelling.skipped);
      }
      use(Protein{.id = std::move(record.id),
                  .sequence = std::move(record.sequence),
                  .labels = std::move(labelling.labels)});
    });
  };
  auto count = std::size_t{0};
  auto is_labelled = false;
  auto const look = [&](Protein const& protein) {
    ++count;
    is_labelled = is_labelled || std::ranges::any_of(protein.labels, is_known);
  };
  for_each(look, [](std::string_view) {});
  if (!is_labelled) {
    throw InputError(
        at(path.string(), "expected residues labelled 0 or 1, found only unknown ones"));
  }
  auto read = BindingSites{};
  read.proteins.reserve(count);
  for_each([&](Protein&& protein) { read.proteins.push_back(std::move(protein)); },
           [&](std::string_view reason) { ++read.skipped[std::string{reason}]; });
  return read;
}

/// Its proteins under the default policy: every site of whatever evidence is positive.
inline std::vector<Protein> read_binding_sites(std::filesystem::path const& path) {
  return read_labelled(path).proteins;
}

}  // namespace qlora::inline v1
