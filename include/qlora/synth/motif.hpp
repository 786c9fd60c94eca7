/// The binding motifs that synthetic proteins carry, and the partner each of them needs.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <qlora/synth/substitution.hpp>

namespace qlora::inline v1::synth {

/// What a site binds. A motif binds only where the partner of its ligand lies in the same protein.
enum class Ligand : std::uint8_t { nucleotide, metal, substrate };
inline constexpr std::size_t ligands = 3;

/// A conserved stretch. In `pattern` an upper-case letter is that residue, a lower-case one a class
/// (see `pattern_set`), and `?` the contact: the site that touches the partner and covaries with
/// it. `binding` marks with `^` the residues that are binding sites when the partner is there.
struct Motif {
  std::string_view name;
  Ligand ligand;
  std::string_view pattern;
  std::string_view binding;
};

/// Motifs as the literature gives them (PROSITE and reviews), with the strands and turns around
/// them.
inline constexpr auto motifs = std::array<Motif, 12>{{
    {"P-loop", Ligand::nucleotide, "hhhhGxxxxGKohh?", "....^^^^^^^^..."},
    {"Rossmann", Ligand::nucleotide, "phhhhGxGxxGxxh?", ".....^^^^^^...."},
    {"glycine-loop", Ligand::nucleotide, "hhGxGxhGxVhx?", "..^^^^^^^^..."},
    {"HIGH", Ligand::nucleotide, "hPNxxxHIGHhh?", "......^^^^..."},
    {"HExxH", Ligand::metal, "hhxxHExxHxhh?", "....^^..^...."},
    {"zinc-knuckle", Ligand::metal, "xhCPxCGxxhp?", "..^..^......"},
    {"EF-hand", Ligand::metal, "hhDxDxDGxIxxxEh?", "..^.^.^.^....^.."},
    {"C2H2", Ligand::metal, "xCxxCxxxFxxxxxLxxHxxxH?", ".^..^............^...^."},
    {"GxSxG", Ligand::substrate, "hhhhGHSxGGxhh?", "....^^^^^....."},
    {"papain", Ligand::substrate, "hQGxCGSCWxhs?", ".^...^^^....."},
    {"aspartic", Ligand::substrate, "hhhDTGohhhhhh?", "...^^^^......."},
    {"subtilisin", Ligand::substrate, "hxSGTSMAxPhh?", "..^^^^......."},
}};

/// The partner of each ligand, in the order of `Ligand`: a Walker B strand, the third metal ligand
/// of gluzincins, an oxyanion hole. They carry no label themselves.
inline constexpr auto partners = std::array<Motif, ligands>{{
    {"walker-B", Ligand::nucleotide, "RhhhhDEooW?", "..........."},
    {"third-ligand", Ligand::metal, "hGNExxSDhY?", "..........."},
    {"oxyanion-hole", Ligand::substrate, "hhHGGGhxPM?", "..........."},
}};

/// Residues of the contact for each of four variants: salt bridges, a stack, a thiol and an
/// imidazole.
inline constexpr std::string_view motif_contacts = "EKFH";
inline constexpr std::string_view partner_contacts = "RDWC";
inline constexpr std::uint32_t contact_variants = 4;

/// What a letter of a pattern allows.
constexpr ResidueSet pattern_set(char letter) {
  switch (letter) {
    case 'h':
      return residue_set("FILMV");
    case 'o':
      return residue_set("ST");
    case 'p':
      return residue_set("KR");
    case 's':
      return residue_set("ACGS");
    case 'x':
      return any_residue;
    case '?':
      return residue_set(motif_contacts) | residue_set(partner_contacts);
    default:
      return residue_set(std::string_view{&letter, 1});
  }
}

namespace detail {
constexpr bool well_formed(Motif const& motif) {
  auto contacts = 0;
  for (auto const letter : motif.pattern) {
    contacts += letter == '?';
    if (pattern_set(letter) == 0) return false;
  }
  return contacts == 1 && motif.pattern.size() == motif.binding.size() &&
         motif.binding.find_first_not_of(".^") == motif.binding.npos;
}
static_assert(std::ranges::all_of(motifs, well_formed), "a motif needs a mask and one contact");
static_assert(std::ranges::all_of(partners, well_formed), "a partner needs a mask and one contact");
}  // namespace detail

}  // namespace qlora::inline v1::synth
