#include <set>
#include <string>

#include <gtest/gtest.h>

#include <qlora/synth/family.hpp>

namespace {
using namespace qlora;
using synth::Role;

TEST(Family, HasTheMembersAskedFor) {
  for (auto const members : {1u, 2u, 7u}) {
    auto random = RandomSequence{{.seed = 9}};
    auto const family = synth::draw_family(random, "f", members);
    ASSERT_EQ(family.size(), members);
    auto ids = std::set<std::string>{};
    for (auto const& protein : family) {
      ids.insert(protein.id);
      EXPECT_EQ(protein.labels.size(), protein.sequence.size());
      EXPECT_EQ(protein.sequence.front(), 'M');
    }
    EXPECT_EQ(ids.size(), members);
    EXPECT_TRUE(ids.contains("f_1"));
  }
}

TEST(Family, EvolutionKeepsMotifsAndLengths) {
  for (auto sample = std::uint32_t{0}; sample < 100; ++sample) {
    auto random = RandomSequence{{.seed = 10, .sample = sample}};
    auto const root = synth::draw_root(random);
    auto lineage = root;
    synth::detail::evolve(random, 100, lineage);
    EXPECT_GE(lineage.sites.size() + 20, root.sites.size());
    EXPECT_LE(lineage.sites.size(), root.sites.size() + 60);
    auto const elements = [](synth::Lineage const& l) {
      return std::ranges::count_if(l.sites,
                                   [](auto const& s) { return s.role != Role::background; });
    };
    EXPECT_EQ(elements(lineage), elements(root));
    for (auto const& site : lineage.sites) EXPECT_TRUE(synth::contains(site.allowed, site.residue));
  }
}

TEST(Family, BindsWhereThePartnerIs) {
  auto random = RandomSequence{{.seed = 11}};
  auto lineage = synth::draw_root(random);
  auto const binding =
      std::ranges::count_if(lineage.sites, [](synth::Site const& site) { return site.binds; });
  auto const positives = [&] {
    return std::ranges::count(synth::detail::as_protein(lineage, "p").labels, label_positive);
  };
  EXPECT_GT(binding, 0);
  EXPECT_EQ(positives(), binding);
  for (auto const& partner : synth::partners) synth::lose_partner(random, partner.ligand, lineage);
  EXPECT_EQ(positives(), 0);
}

}  // namespace
