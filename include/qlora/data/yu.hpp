/// The tables of Yu et al. and their copies: `pdb_id;chain_id;binding_residues;sequence`, one file
/// a ligand, binding residues as `G10 K37`.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <qlora/data/annotation.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/record.hpp>
#include <qlora/data/uniprot_feature.hpp>

namespace qlora::inline v1 {

namespace detail {

inline constexpr auto yu_header = std::string_view{"pdb_id;chain_id;binding_residues;sequence"};

/// Marks the residues of a list such as "G10 K37" positive.
inline void mark_residues(Lines const& lines, std::string_view list, AnnotatedProtein& protein) {
  auto const& sequence = protein.sequence;
  for (list = trimmed(list); !list.empty();) {
    auto const word = list.substr(0, list.find_first_of(" ,\t"));
    auto position = std::size_t{0};
    auto const* const end = word.data() + word.size();
    auto const [stop, error] =
        std::from_chars(word.data() + std::min<std::size_t>(1, word.size()), end, position);
    auto const is_place = error == std::errc{} && stop == end && position > 0;
    if (!is_place || position > sequence.size() || sequence[position - 1] != word.front()) {
      lines.fail("expected a residue and its position, from 1 to " +
                 std::to_string(sequence.size()) + ", as the sequence has it, found '" +
                 printable(word, 40) + "'");
    }
    protein.labels[position - 1] = label_positive;
    list.remove_prefix(word.size());
    auto const next = list.find_first_not_of(" ,\t");
    list.remove_prefix(next == list.npos ? list.size() : next);
  }
}

}  // namespace detail

/// Calls `use(AnnotatedProtein&&)` for every chain, in file order, under the name `PDB_CHAIN`; a
/// header line may come first. Residues that are not listed are negative. Throws InputError for
/// another number of fields, a position at which the sequence has another residue, and a chain that
/// comes twice.
template <class Use>
void for_each_yu(std::filesystem::path const& path, Use&& use) {
  auto lines = Lines{path};
  auto seen = IdSet{};
  while (lines.next()) {
    auto rest = lines.line();
    if (rest.empty() || (seen.empty() && rest == detail::yu_header)) continue;
    auto const fields = std::ranges::count(rest, ';') + 1;
    if (fields != 4) {
      lines.fail("expected " + std::string{detail::yu_header} + ", found " +
                 std::to_string(fields) + " fields");
    }
    auto field = std::array<std::string_view, 4>{};
    for (auto& one : field) {
      one = detail::trimmed(rest.substr(0, rest.find(';')));
      rest.remove_prefix(std::min(rest.find(';'), rest.size() - 1) + 1);
    }
    auto const& [pdb, chain, residues, sequence] = field;
    if (pdb.empty() || chain.empty()) lines.fail("expected a PDB id and a chain, found none");
    auto protein = AnnotatedProtein{};
    protein.id = detail::new_id(lines, std::string{pdb}.append("_").append(chain), seen);
    if (sequence.empty()) {
      lines.fail("expected a sequence for '" + printable(protein.id) + "', found none");
    }
    detail::append_residues(lines, sequence, protein.sequence);
    protein.labels.assign(protein.sequence.size(), label_negative);
    detail::mark_residues(lines, residues, protein);
    use(std::move(protein));
  }
  if (seen.empty()) throw InputError{at(lines.name(), "expected chains, found none")};
}

}  // namespace qlora::inline v1
