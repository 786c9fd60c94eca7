#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/uniprot_text.hpp>

#include "reading.hpp"

namespace {
using namespace qlora;
using qlora::testing::refusal;
using qlora::testing::TextFile;

std::vector<AnnotatedProtein> read_entries(std::filesystem::path const& path) {
  auto entries = std::vector<AnnotatedProtein>{};
  for_each_uniprot_text(path, [&](AnnotatedProtein&& one) { entries.push_back(std::move(one)); });
  return entries;
}

constexpr auto first_entry =
    "ID   TEST_HUMAN              Reviewed;          24 AA.\n"
    "AC   P00001; Q00002;\n"
    "DE   RecName: Full=Test;\n"
    "CC   -!- FUNCTION: Belongs to the tests.\n"
    "CC   -!- SIMILARITY: Belongs to the protein kinase superfamily. Ser/Thr\n"
    "CC       protein kinase family. {ECO:0000305}.\n"
    "CC   ---------------------------------------------------------------------------\n"
    "FT   CHAIN           1..24\n"
    "FT                   /note=\"Test\"\n"
    "FT   BINDING         3..4\n"
    "FT                   /ligand=\"N-acetyl-beta-\n"
    "FT                   glucosamine / other\"\n"
    "FT                   /ligand_id=\"ChEBI:CHEBI:1\"\n"
    "FT                   /evidence=\"ECO:0000269|PubMed:1,\n"
    "FT                   ECO:0000305\"\n"
    "FT   HELIX           6\n"
    "FT   ACT_SITE        ?7\n"
    "FT   METAL        12     12       Zinc. {ECO:0000250}.\n"
    "SQ   SEQUENCE   24 AA;  2500 MW;  0123456789ABCDEF CRC64;\n"
    "     MKVLAMKVLA MKVLAMKVLA\n"
    "     MKVL\n"
    "//\n";

std::string entry(std::string const& lines) {
  return "ID   A\nAC   P1;\n" + lines + "SQ   SEQUENCE   2 AA;\n     MK\n//\n";
}

TEST(UniprotText, ReadsEntries) {
  auto const entries = read_entries(TextFile{first_entry + entry("")}.path());
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].id, "P00001");
  EXPECT_EQ(entries[0].sequence, "MKVLAMKVLAMKVLAMKVLAMKVL");
  EXPECT_EQ(entries[0].family, "Protein kinase superfamily, Ser/Thr protein kinase family");
  auto const& sites = entries[0].sites;
  ASSERT_EQ(sites.size(), 3u);
  EXPECT_EQ(sites[0], (SiteFeature{.kind = FeatureKind::binding,
                                   .placing = Placing::exact,
                                   .evidence = Evidence::experimental,
                                   .first = 3,
                                   .last = 4,
                                   .ligand = "N-acetyl-beta-glucosamine / other",
                                   .ligand_id = "CHEBI:1"}));
  EXPECT_EQ(sites[1].placing, Placing::uncertain);
  EXPECT_EQ(sites[2].ligand, "Zinc");
  EXPECT_TRUE(entries[1].sites.empty());
  EXPECT_EQ(entries[1].family, "");
}

TEST(UniprotText, RefusesBrokenEntries) {
  EXPECT_EQ(refusal("AC   P1;\n", read_entries),
            ":1: expected an entry that starts with ID, found 'AC   P1;'");
  EXPECT_EQ(refusal("ID   A\nSQ   SEQUENCE   2 AA;\n     MK\n//\n", read_entries),
            ":4: expected an identifier, found none");
  EXPECT_EQ(refusal("ID   A\nAC   P1;\n//\n", read_entries),
            ":3: expected 0 residues for 'P1', found 0");
  EXPECT_EQ(refusal("ID   A\nAC   P1;\nSQ   SEQUENCE   3 AA;\n     MK\n//\n", read_entries),
            ":5: expected 3 residues for 'P1', found 2");
  EXPECT_NE(refusal("ID   A\nAC   P1;\nSQ   SEQUENCE   -2 AA;\n     MK\n//\n", read_entries), "");
  EXPECT_EQ(refusal("ID   A\nAC   P1;\nSQ   SEQUENCE   x AA;\n", read_entries),
            ":3: expected 'SEQUENCE' and a number of residues, found 'SEQUENCE   x AA;'");
  EXPECT_EQ(refusal("ID   A\nAC   P1;\n     MK\n", read_entries),
            ":3: expected a line with a code, found blanks");
  EXPECT_EQ(refusal(entry("").substr(0, 40), read_entries),
            ":4: expected the entry to end with //, found the end of the file");
  EXPECT_EQ(refusal("ID   A\nID   B\n", read_entries),
            ":2: expected the entry to end with //, found the next one");
  EXPECT_EQ(refusal("", read_entries), ": expected UniProt entries, found none");
  EXPECT_EQ(refusal("ID   A\nFX   BINDING         3\n", read_entries),
            ":2: expected a line of a UniProt entry, found 'FX   BINDING        ...'");
  EXPECT_EQ(
      refusal("ID   A\nAC   P1;\nSQ   SEQUENCE   2 AA;\nSQ   SEQUENCE   2 AA;\n", read_entries)
          .substr(0, 3),
      ":4:");
  EXPECT_EQ(
      refusal("ID   A\nAC   P1;\nSQ   SEQUENCE   2 AA;\n     M1\n//\n", read_entries).substr(0, 3),
      ":4:");
  EXPECT_EQ(refusal(entry("") + entry(""), read_entries),
            ":10: expected a new identifier, found 'P1' again");
  EXPECT_EQ(refusal(entry("FT   BINDING         3\n"), read_entries),
            ":1: P1: expected a position from 1 to 2, found 3");
}

}  // namespace
