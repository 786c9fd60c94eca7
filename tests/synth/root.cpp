#include <gtest/gtest.h>

#include <qlora/synth/root.hpp>

namespace {
using namespace qlora;
using synth::Role;

template <class Check>
void for_each_root(Check&& check) {
  for (auto sample = std::uint32_t{0}; sample < 300; ++sample) {
    auto random = RandomSequence{{.seed = 8, .sample = sample}};
    check(synth::draw_root(random));
  }
}

bool of_partner(synth::Site const& site) {
  return site.role == Role::partner || site.role == Role::partner_contact;
}

bool of_motif(synth::Site const& site) {
  return site.role == Role::motif || site.role == Role::motif_contact;
}

TEST(Root, KeepsMotifsAwayFromTheirPartner) {
  for_each_root([](synth::Lineage const& root) {
    for (auto i = std::size_t{0}; i < root.sites.size(); ++i) {
      if (!of_motif(root.sites[i])) continue;
      auto const begin = i < synth::partner_distance ? 0 : i - synth::partner_distance;
      auto const end = std::min(i + synth::partner_distance + 1, root.sites.size());
      for (auto j = begin; j < end; ++j) {
        EXPECT_FALSE(of_partner(root.sites[j]) && root.sites[j].ligand == root.sites[i].ligand);
      }
    }
  });
}

TEST(Root, HasThePartnersThatItsMotifsNeedAndNoOthers) {
  for_each_root([](synth::Lineage const& root) {
    for (auto const& partner : synth::partners) {
      auto const sites = [&](auto const& role) {
        return std::ranges::count_if(root.sites, [&](synth::Site const& site) {
          return role(site) && site.ligand == partner.ligand;
        });
      };
      EXPECT_EQ(sites(of_motif) > 0, sites(of_partner) > 0);
      EXPECT_EQ(sites(of_motif) > 0,
                root.partner_present[static_cast<std::size_t>(partner.ligand)]);
    }
    EXPECT_TRUE(std::ranges::any_of(root.sites, of_motif));
  });
}

TEST(Root, HoldsOnlyWhatItsSitesAllow) {
  for_each_root([](synth::Lineage const& root) {
    EXPECT_EQ(synth::residues[root.sites.front().residue], 'M');
    EXPECT_GE(root.sites.size(), 80u);
    EXPECT_LE(root.sites.size(), 740u);
    for (auto const& site : root.sites) EXPECT_TRUE(synth::contains(site.allowed, site.residue));
  });
}

}  // namespace
