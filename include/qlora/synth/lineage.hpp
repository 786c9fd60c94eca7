/// One synthetic protein on its way through the tree of its family.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <qlora/core/random.hpp>
#include <qlora/synth/motif.hpp>
#include <qlora/synth/substitution.hpp>

namespace qlora::inline v1::synth {

/// What a site is to the motifs.
enum class Role : std::uint8_t { background, motif, motif_contact, partner, partner_contact };

/// One position of a protein.
struct Site {
  Residue residue;
  Environment environment;
  Role role = Role::background;
  Ligand ligand = {};  ///< of the motif or partner; meaningless in the background
  bool binds = false;  ///< a binding residue, should the partner be there
  std::uint16_t rate;  ///< chance of a substitution event in a unit of time, of 1,024
  ResidueSet allowed = any_residue;
};

struct Lineage {
  std::vector<Site> sites;
  std::array<bool, ligands> partner_present{};
  std::uint32_t deletable = 20;   ///< residues that may still go: keeps lengths and distances
  std::uint32_t insertable = 60;  ///< residues that may still come
};

namespace detail {

/// Mean rates of eight equally likely classes of the gamma distribution with shape 0.7 and mean 256
/// (Yang, "Maximum likelihood phylogenetic estimation from DNA sequences with variable rates over
/// sites", 1994).
inline constexpr auto gamma_rates =
    std::array<std::uint16_t, 8>{7, 31, 68, 118, 187, 286, 448, 903};

inline std::uint32_t between(RandomSequence& random, std::uint32_t low, std::uint32_t high) {
  return low + random.below(high - low + 1);
}

/// A site without a role, its residue from the equilibrium; buried sites change half as fast.
inline Site draw_site(RandomSequence& random, Environment environment) {
  auto const residue = draw_residue(random, environment, any_residue);
  auto const rate = gamma_rates[random.below(gamma_rates.size())];
  auto const buried =
      environment == Environment::helix_buried || environment == Environment::strand_buried;
  return {.residue = residue,
          .environment = environment,
          .rate = static_cast<std::uint16_t>(buried ? rate / 2 : rate)};
}

}  // namespace detail

/// Sets the ligand's contacts to the residues of one variant, drawn for all of them together while
/// the partner is there, and for each motif on its own without it: contacts covary only with a
/// partner, and every single one has the same distribution in both cases.
inline void draw_contacts(RandomSequence& random, Ligand ligand, Lineage& lineage) {
  auto const together = lineage.partner_present[static_cast<std::size_t>(ligand)];
  auto variant = random.below(contact_variants);
  for (auto& site : lineage.sites) {
    auto const is_motif = site.role == Role::motif_contact;
    if (site.ligand != ligand || !(is_motif || site.role == Role::partner_contact)) continue;
    if (!together) variant = random.below(contact_variants);
    auto const letter = (is_motif ? motif_contacts : partner_contacts)[variant];
    site.residue = static_cast<Residue>(residues.find(letter));
  }
}

/// Takes the partner of a ligand away: its residues become others, free to change, and none of
/// those that the pattern allowed. The motifs stay as they are, as decoys.
inline void lose_partner(RandomSequence& random, Ligand ligand, Lineage& lineage) {
  for (auto& site : lineage.sites) {
    auto const is_partner = site.role == Role::partner || site.role == Role::partner_contact;
    if (!is_partner || site.ligand != ligand) continue;
    auto const lost = site.allowed == any_residue ? ResidueSet{0} : site.allowed;
    do {
      site = detail::draw_site(random, site.environment);
    } while (contains(lost, site.residue));
  }
  lineage.partner_present[static_cast<std::size_t>(ligand)] = false;
  draw_contacts(random, ligand, lineage);
}

}  // namespace qlora::inline v1::synth
