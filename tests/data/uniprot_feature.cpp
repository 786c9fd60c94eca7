#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/error.hpp>
#include <qlora/data/uniprot_feature.hpp>

namespace {
using namespace qlora;

std::vector<SiteFeature> parse(std::string_view text, std::size_t residues = 100) {
  auto sites = std::vector<SiteFeature>{};
  parse_features(text, residues, sites,
                 [](std::string const& sentence) { throw InputError{sentence}; });
  return sites;
}

std::string refusal(std::string_view text) {
  try {
    parse(text);
  } catch (InputError const& error) {
    return error.what();
  }
  return "";
}

TEST(UniprotFeature, ReadsPlacesAndQualifiers) {
  EXPECT_TRUE(parse("").empty());
  EXPECT_TRUE(parse("  ").empty());
  auto const sites = parse(
      "BINDING 57..59; /ligand=\"ATP; and \"\"more\"\"\"; /ligand_id=\"ChEBI:CHEBI:30616\"; "
      "/ligand_note=\"x; BINDING 3\"; /evidence=\"ECO:0000305, ECO:0000269|PubMed:1\"; "
      "BINDING 86;ACT_SITE 100; /note=\"Nucleophile\"; ");
  ASSERT_EQ(sites.size(), 3u);
  EXPECT_EQ(sites[0], (SiteFeature{.kind = FeatureKind::binding,
                                   .placing = Placing::exact,
                                   .evidence = Evidence::experimental,
                                   .first = 57,
                                   .last = 59,
                                   .ligand = "ATP; and \"more\"",
                                   .ligand_id = "CHEBI:30616"}));
  EXPECT_EQ(sites[1].first, 86u);
  EXPECT_EQ(sites[1].last, 86u);
  EXPECT_EQ(sites[1].evidence, Evidence::any);
  EXPECT_EQ(sites[2].kind, FeatureKind::active);
}

TEST(UniprotFeature, ReadsTheOldSyntax) {
  auto const sites = parse(
      "BINDING 86 86 ATP. {ECO:0000255|PROSITE-ProRule:PRU00159}.; NP_BIND 10 17 GTP; shared with "
      "dimeric partner (By similarity).; METAL 9 9 Zinc 2; via carbonyl oxygen. "
      "{ECO:0000269|PubMed:7}.; CA_BIND 20 31 1.; ACT_SITE 50 50; BINDING 51 51 Substrate.");
  ASSERT_EQ(sites.size(), 6u);
  EXPECT_EQ(sites[0].ligand, "ATP");
  EXPECT_EQ(sites[0].evidence, Evidence::manual);
  EXPECT_EQ(sites[1].ligand, "GTP");
  EXPECT_EQ(sites[1].first, 10u);
  EXPECT_EQ(sites[1].last, 17u);
  EXPECT_EQ(sites[1].evidence, Evidence::manual);
  EXPECT_EQ(sites[2].ligand, "Zinc");
  EXPECT_EQ(sites[2].evidence, Evidence::experimental);
  EXPECT_EQ(sites[3].ligand_id, "CHEBI:29108");
  EXPECT_EQ(sites[4].kind, FeatureKind::active);
  EXPECT_EQ(sites[4].ligand, "");
  EXPECT_EQ(sites[5].ligand, "Substrate");
}

TEST(UniprotFeature, ReadsLigandsInNotes) {
  auto const sites = parse(
      "METAL 93; /note=\"Zinc 2; catalytic\"; /evidence=\"ECO:0000269|PubMed:1\"; "
      "NP_BIND 47..55; /note=\"ATP\"; CA_BIND 20..31; /note=\"1\"; CA_BIND 33..44; "
      "ACT_SITE 50; /note=\"Nucleophile\"; BINDING 60; /ligand=\"heme b\"; /note=\"covalent\"");
  ASSERT_EQ(sites.size(), 6u);
  EXPECT_EQ(sites[0].ligand, "Zinc");
  EXPECT_EQ(sites[0].evidence, Evidence::experimental);
  EXPECT_EQ(sites[1].ligand, "ATP");
  EXPECT_EQ(sites[1].last, 55u);
  EXPECT_EQ(sites[2].ligand, "Ca(2+)");
  EXPECT_EQ(sites[3].ligand_id, "CHEBI:29108");
  EXPECT_EQ(sites[4].ligand, "");
  EXPECT_EQ(sites[5].ligand, "heme b");
}

TEST(UniprotFeature, ReadsATextOfSemicolonsOnce) {
  // Minutes, if what is behind each were searched to the end.
  auto const sites = parse("BINDING 1 1 ATP" + std::string(8 << 20, ';'));
  ASSERT_EQ(sites.size(), 1u);
  EXPECT_EQ(sites[0].ligand, "ATP");
}

TEST(UniprotFeature, MarksPositionsThatAreNotKnown) {
  for (auto const text : {"?", "?58", "<1", ">90", "?..58", "<1..5", "80..>90", "500..?"}) {
    auto const sites = parse("BINDING " + std::string{text} + "; /ligand=\"(1->4)-glucan\"");
    ASSERT_EQ(sites.size(), 1u);
    EXPECT_EQ(sites[0].placing, Placing::uncertain) << text;
  }
  EXPECT_EQ(parse("BINDING ? 58 ATP.")[0].placing, Placing::uncertain);
  EXPECT_EQ(parse("BINDING P12345-2:12")[0].placing, Placing::other_isoform);
  EXPECT_EQ(parse("BINDING P12345-2:12..500; /ligand=\"X\"")[0].placing, Placing::other_isoform);
}

TEST(UniprotFeature, RefusesWhatCannotBe) {
  EXPECT_EQ(refusal("BINDING 0"), "expected a position from 1, found '0'");
  EXPECT_EQ(refusal("BINDING 101"), "expected a position from 1 to 100, found 101");
  EXPECT_EQ(refusal("BINDING 99..101"), "expected a position from 1 to 100, found 101");
  EXPECT_EQ(refusal("BINDING 9..7"), "expected a range that ends behind its start, found '9..7'");
  EXPECT_EQ(refusal("BINDING 9 7 ATP."),
            "expected a range that ends behind its start, found '9..7'");
  EXPECT_EQ(refusal("BINDING 4294967297"), "expected a position from 1, found '4294967297'");
  EXPECT_EQ(refusal("BINDING -4"), "expected a position from 1, found '-4'");
  EXPECT_EQ(refusal("BINDING ?x"), "expected a position from 1, found '?x'");
  EXPECT_EQ(refusal("BINDING <"), "expected a position from 1, found '<'");
  EXPECT_EQ(refusal("BINDING"), "expected a position from 1, found ''");
  EXPECT_EQ(refusal("BINDING 1...5"), "expected a position from 1, found '.5'");
  EXPECT_EQ(refusal("HELIX 4"),
            "expected a feature, BINDING or ACT_SITE for instance, found "
            "'HELIX'");
  EXPECT_EQ(refusal("BINDING 4; /ligand=\"ATP"), "expected a closing quote, found '\"ATP'");
  EXPECT_EQ(refusal("BINDING 4; /ligand=ATP"), "expected a value in quotes, found 'ATP'");
  EXPECT_EQ(refusal("BINDING 4; /ligand"),
            "expected '=' behind a qualifier's name, found 'ligand'");
  EXPECT_EQ(refusal("BINDING 4 ATP"),
            "expected ';' behind a feature's position or value, found 'ATP'");
}

}  // namespace
