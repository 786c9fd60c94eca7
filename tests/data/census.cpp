// What is counted of records, and what two files share.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/census.hpp>
#include <qlora/data/overlap.hpp>

namespace qlora {
namespace {

AnnotatedProtein database_entry(std::string id, std::string sequence, std::string family,
                                std::vector<SiteFeature> sites) {
  return {.id = std::move(id),
          .sequence = std::move(sequence),
          .labels = {},
          .sites = std::move(sites),
          .family = std::move(family)};
}

SiteFeature binding(std::uint32_t at, Evidence evidence, std::string ligand = {}) {
  return {
      .evidence = evidence, .first = at, .last = at, .ligand = std::move(ligand), .ligand_id = {}};
}

TEST(Census, CountsLabelsSitesAndFamilies) {
  auto uncertain = binding(1, Evidence::manual, "ATP");
  uncertain.placing = Placing::uncertain;
  auto active = binding(2, Evidence::any);
  active.kind = FeatureKind::active;
  auto census = Census{};
  census.add(database_entry("a", "MKVLX", "Kinase family, A subfamily",
                            {binding(2, Evidence::experimental, "ATP"), active}));
  census.add(database_entry("b", "MKV", "Kinase family, B subfamily", {uncertain}));
  census.add(database_entry("c", "UKVAAAA", "", {}));
  census.add({.id = "d", .sequence = "AC", .labels = {1, -1}, .sites = {}, .family = {}});

  EXPECT_EQ(census.lengths, (std::vector<std::uint32_t>{5, 3, 7, 2}));
  EXPECT_EQ(census.residues, 17u);
  EXPECT_EQ(census.unusual, 2u);
  EXPECT_EQ(census.positives, 2u);
  EXPECT_EQ(census.negatives, 4u);
  EXPECT_EQ(census.unknown(), 11u);
  EXPECT_EQ(census.with_sites, 2u);
  EXPECT_DOUBLE_EQ(census.prevalence(), 2. / 6.);
  EXPECT_EQ(census.unlabelled.at("uncertain position"), 1u);
  EXPECT_EQ(census.unlabelled.at("no site that was asked for"), 1u);
  EXPECT_EQ(census.sites[0], (std::array<std::size_t, 3>{0, 0, 1}));
  EXPECT_EQ(census.sites[1], (std::array<std::size_t, 3>{1, 0, 0}));
  EXPECT_EQ(census.unplaced_sites, 1u);
  EXPECT_EQ(census.ligands.at("ATP"), 2u);
  EXPECT_EQ(census.families.size(), 2u);
  EXPECT_EQ(census.superfamilies.size(), 1u);
  EXPECT_EQ(census.without_family, 2u);
}

TEST(Census, KnowsLengthsByShare) {
  auto census = Census{};
  EXPECT_EQ(census.length(.5), 0u);
  EXPECT_TRUE(std::isnan(census.prevalence()));
  for (auto const size : {9u, 1u, 5u, 3u, 7u}) {
    census.add(
        {.id = {}, .sequence = std::string(size, 'A'), .labels = {}, .sites = {}, .family = {}});
  }
  EXPECT_EQ(census.length(0.), 1u);
  EXPECT_EQ(census.length(.5), 5u);
  EXPECT_EQ(census.length(.75), 7u);
  EXPECT_EQ(census.length(1.), 9u);
}

TEST(Overlap, CountsWhatAnotherFileHas) {
  auto first = Contents{};
  first.add(database_entry("a", "MKV", "Kinase family, A subfamily", {}));
  first.add(database_entry("b", "AAA", "", {}));
  auto overlap = Overlap{};
  overlap.add(database_entry("a", "MKV", "Kinase family, B subfamily", {}), first);
  overlap.add(database_entry("b", "CCC", "", {}), first);
  overlap.add(database_entry("c", "AAA", "Other family", {}), first);
  overlap.add(database_entry("d", "DDD", "", {}), first);
  EXPECT_EQ(overlap.records, 4u);
  EXPECT_EQ(overlap.id, 2u);
  EXPECT_EQ(overlap.contradicts, 1u);
  EXPECT_EQ(overlap.sequence, 2u);
  EXPECT_EQ(overlap.superfamily, 1u);
}

}  // namespace
}  // namespace qlora
