#include <set>

#include <gtest/gtest.h>

#include <qlora/synth/lineage.hpp>
#include <qlora/synth/root.hpp>

namespace {
using namespace qlora;
using synth::Role;

/// A root with the partner of `ligand` and at least two motifs that need it.
synth::Lineage root_with(synth::Ligand ligand) {
  for (auto sample = std::uint32_t{0};; ++sample) {
    auto random = RandomSequence{{.seed = 5, .sample = sample}};
    auto root = synth::draw_root(random);
    auto const motifs = std::ranges::count_if(root.sites, [&](synth::Site const& site) {
      return site.role == Role::motif_contact && site.ligand == ligand;
    });
    if (motifs >= 2) return root;
  }
}

/// Variants of the contacts in motifs that need the ligand's partner.
std::set<std::size_t> variants(synth::Lineage const& lineage, synth::Ligand ligand) {
  auto found = std::set<std::size_t>{};
  for (auto const& site : lineage.sites) {
    if (site.ligand != ligand) continue;
    auto const letter = synth::residues[site.residue];
    if (site.role == Role::motif_contact) found.insert(synth::motif_contacts.find(letter));
    if (site.role == Role::partner_contact) found.insert(synth::partner_contacts.find(letter));
  }
  return found;
}

TEST(Lineage, ContactsCovaryOnlyWithAPartner) {
  constexpr auto ligand = synth::Ligand::metal;
  auto lineage = root_with(ligand);
  auto random = RandomSequence{{.seed = 6}};
  auto together = std::set<std::size_t>{};
  for (auto i = 0; i < 50; ++i) {
    synth::draw_contacts(random, ligand, lineage);
    EXPECT_EQ(variants(lineage, ligand).size(), 1u);
    together.merge(variants(lineage, ligand));
  }
  EXPECT_EQ(together, (std::set<std::size_t>{0, 1, 2, 3}));

  synth::lose_partner(random, ligand, lineage);
  auto differing = 0;
  for (auto i = 0; i < 50; ++i) {
    synth::draw_contacts(random, ligand, lineage);
    differing += variants(lineage, ligand).size() > 1;
  }
  EXPECT_GT(differing, 25);
}

TEST(Lineage, LosesThePartnerAndKeepsTheMotifs) {
  constexpr auto ligand = synth::Ligand::nucleotide;
  auto const before = root_with(ligand);
  auto lineage = before;
  auto random = RandomSequence{{.seed = 7}};
  synth::lose_partner(random, ligand, lineage);
  EXPECT_FALSE(lineage.partner_present[static_cast<std::size_t>(ligand)]);
  ASSERT_EQ(lineage.sites.size(), before.sites.size());
  auto lost = 0;
  for (auto i = std::size_t{0}; i < before.sites.size(); ++i) {
    auto const& old = before.sites[i];
    auto const& now = lineage.sites[i];
    if (old.ligand != ligand || (old.role != Role::partner && old.role != Role::partner_contact)) {
      EXPECT_EQ(now.role, old.role);
      if (old.role != Role::motif_contact) {
        EXPECT_EQ(now.residue, old.residue);
      }
      continue;
    }
    ++lost;
    EXPECT_EQ(now.role, Role::background);
    EXPECT_EQ(now.allowed, synth::any_residue);
    if (old.allowed != synth::any_residue) {
      EXPECT_FALSE(synth::contains(old.allowed, now.residue));
    }
  }
  EXPECT_EQ(lost, 11);
}

}  // namespace
