#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/uniprot_tsv.hpp>

#include "reading.hpp"

namespace {
using namespace qlora;
using qlora::testing::refusal;
using qlora::testing::TextFile;

std::vector<AnnotatedProtein> read_rows(std::filesystem::path const& path) {
  auto rows = std::vector<AnnotatedProtein>{};
  for_each_uniprot_row(path, [&](AnnotatedProtein&& row) { rows.push_back(std::move(row)); });
  return rows;
}

TEST(UniprotTsv, ReadsPlainAndQuotedTables) {
  auto const plain =
      read_rows(TextFile{"\xef\xbb\xbf"
                         "Entry\tLength\tProtein families\tSequence\tActive site\tBinding site"
                         "\r\nP1\t5\tA superfamily, B family\tmkvla\t\t\r\n\r\n"
                         "P2\t4\t\tMKVL\tACT_SITE 2\tBINDING 3..4; /ligand=\"ATP\"\r\n"}
                    .path());
  ASSERT_EQ(plain.size(), 2u);
  EXPECT_EQ(plain[0], (AnnotatedProtein{.id = "P1",
                                        .sequence = "MKVLA",
                                        .labels = {},
                                        .sites = {},
                                        .family = "A superfamily, B family"}));
  EXPECT_EQ(plain[1].family, "");
  ASSERT_EQ(plain[1].sites.size(), 2u);
  EXPECT_EQ(plain[1].sites[0].ligand, "ATP");
  EXPECT_EQ(plain[1].sites[1].kind, FeatureKind::active);

  auto const quoted =
      read_rows(TextFile{"\"Entry\"\t\"Sequence\"\t\"Binding site\"\n"
                         "P2\tMKVL\t\"BINDING 3..4; /ligand=\"\"ATP\"\"\"\n"}
                    .path());
  ASSERT_EQ(quoted.size(), 1u);
  EXPECT_EQ(quoted[0].sites, (std::vector{plain[1].sites[0]}));
}

TEST(UniprotTsv, FoldsOlderColumnsIntoBinding) {
  auto const rows =
      read_rows(TextFile{"Entry\tSequence\tMetal binding\tCalcium binding\tNucleotide binding\n"
                         "P1\tMKVLA\tMETAL 1 1 Zinc.\tCA_BIND 2 3 1.\tNP_BIND 4 5 ATP.\n"}
                    .path());
  ASSERT_EQ(rows[0].sites.size(), 3u);
  for (auto const& site : rows[0].sites) EXPECT_EQ(site.kind, FeatureKind::binding);
}

TEST(UniprotTsv, RefusesBrokenTables) {
  auto const head = std::string{"Entry\tSequence\tBinding site\n"};
  EXPECT_EQ(refusal("Entry\tBinding site\nP1\t\n", read_rows),
            ":1: expected a column 'Sequence', found none");
  EXPECT_EQ(refusal("Name\tSequence\tBinding site\n", read_rows),
            ":1: expected a column 'Entry', found none");
  EXPECT_EQ(refusal("Entry\tSequence\n", read_rows),
            ":1: expected a column of sites, 'Binding site' or 'Active site', found none");
  EXPECT_EQ(refusal("Entry\tEntry\tSequence\tBinding site\n", read_rows),
            ":1: expected one column 'Entry', found two");
  EXPECT_EQ(refusal(head, read_rows), ": expected UniProt entries, found none");
  EXPECT_EQ(refusal(head + "P1\tMK\n", read_rows), ":2: expected 3 columns, found 2");
  EXPECT_EQ(refusal(head + "P1\tMK\t\t\n", read_rows), ":2: expected 3 columns, found 4");
  EXPECT_EQ(refusal(head + "P1\tMK\t\"BINDING 1\n", read_rows),
            ":2: column 3: expected a closing quote, found the end of the line");
  EXPECT_EQ(refusal(head + "P1\tMK\t\"BINDING\" 1\n", read_rows),
            ":2: column 3: expected a tab behind the closing quote, found ' 1'");
  EXPECT_EQ(refusal(head + "P1\tMK\tBINDING 1; /ligand=\"ATP\n", read_rows),
            ":2: Binding site: expected a closing quote, found '\"ATP'");
  EXPECT_EQ(refusal(head + "P1\tMK\t\nP1\tMK\t\n", read_rows),
            ":3: expected a new identifier, found 'P1' again");
  EXPECT_EQ(refusal(head + "\tMK\t\n", read_rows), ":2: expected an identifier, found none");
  EXPECT_EQ(refusal(head + "P 1\tMK\t\n", read_rows),
            ":2: expected an identifier without blanks and control characters, found 'P 1'");
  EXPECT_EQ(refusal(head + "P1\t\t\n", read_rows), ":2: expected a sequence for 'P1', found none");
  EXPECT_EQ(refusal(head + "P1\tM-\t\n", read_rows),
            ":2: column 2: expected a residue letter, found '-'");
  EXPECT_EQ(refusal(head + "P1\tMK\tBINDING 3\n", read_rows),
            ":2: Binding site: expected a position from 1 to 2, found 3");
}

}  // namespace
