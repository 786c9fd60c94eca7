#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/read.hpp>

#include "gzip_file.hpp"
#include "reading.hpp"
#include "support/files.hpp"

namespace {
using namespace qlora;
using qlora::testing::refusal;
using qlora::testing::TextFile;

TEST(ReadProteins, RecognisesTheFormatByContent) {
  auto const labelled = read_proteins(TextFile{"\n>a\nMK\n-1\n"}.path());
  EXPECT_EQ(labelled.at(0).labels, (std::vector<std::int8_t>{-1, 1}));
  auto const plain = read_proteins(TextFile{">a\nMK\nVL\n"}.path());
  EXPECT_EQ(plain.at(0).sequence, "MKVL");
  EXPECT_TRUE(plain.at(0).labels.empty());
  EXPECT_EQ(read_proteins(TextFile{">a\nM\n>b\nK\n"}.path()).size(), 2u);
}

TEST(ReadProteins, TakesEveryFormat) {
  auto const labels = std::vector<std::int8_t>{0, 1};
  auto const table = std::string{"Entry\tSequence\tBinding site\nP1\tMK\tBINDING 2\n"};
  auto const text =
      "ID   A\nAC   P1;\nFT   BINDING         2\nSQ   SEQUENCE   2 AA;\n     MK\n//\n";
  auto const files = std::vector<std::pair<std::string, DataFormat>>{
      {table, DataFormat::uniprot_tsv},
      {"\"Entry\"\t\"Sequence\"\t\"Binding site\"\nP1\tMK\tBINDING 2\n", DataFormat::uniprot_tsv},
      {text, DataFormat::uniprot_text},
      {"P1;A;K2;MK\n", DataFormat::yu},
      {">P1\nMK\n01\n", DataFormat::three_line}};
#if defined(QLORA_HAS_ZLIB)
  EXPECT_EQ(read_proteins(TextFile{qlora::testing::gzipped(">a\nmk\nVL*\n")}.path()),
            read_proteins(TextFile{">a\nMKVL\n"}.path()));
#endif
  for (auto const& [content, format] : files) {
    auto const file = TextFile{content};
    EXPECT_EQ(recognise(file.path()), format) << content;
    EXPECT_EQ(read_proteins(file.path()).at(0).labels, labels) << content;
    EXPECT_EQ(read_binding_sites(file.path()).at(0).sequence, "MK") << content;
#if defined(QLORA_HAS_ZLIB)
    auto const compressed = TextFile{qlora::testing::gzipped(content)};
    EXPECT_EQ(recognise(compressed.path()), format) << content;
    EXPECT_EQ(read_binding_sites(compressed.path()), read_binding_sites(file.path()));
#endif
  }
}

TEST(ReadProteins, TakesPickledListsAndTheirPartner) {
  auto const folder = qlora::testing::TemporaryFolder{};
  auto const sequences = std::string{"\x80\2]X\2\0\0\0MKa.", 12};
  auto const labels = std::string{"\x80\2]](K\0K\1ea.", 12};
  folder.write("test_sequences_x.pkl", sequences);
  folder.write("test_labels_x.pkl", labels);
  for (auto const* const name : {"test_sequences_x.pkl", "test_labels_x.pkl"}) {
    EXPECT_EQ(recognise(folder.path() / name), DataFormat::pickled);
    EXPECT_EQ(read_binding_sites(folder.path() / name),
              (std::vector<Protein>{{"test_1", "MK", {0, 1}}}));
  }
#if defined(QLORA_HAS_ZLIB)
  folder.write("gz_sequences.pkl.gz", qlora::testing::gzipped(sequences));
  folder.write("gz_labels.pkl.gz", qlora::testing::gzipped(labels));
  EXPECT_EQ(read_binding_sites(folder.path() / "gz_labels.pkl.gz").at(0).id, "gz_1");
#endif
}

TEST(ReadProteins, KeepsSequencesWhoseSitesCannotBeUsed) {
  auto const file = TextFile{
      "Entry\tSequence\tBinding site\nP1\tMK\tBINDING 2\nP2\tMK\tBINDING ?\nP3\tMK\t\n"
      "P4\tMK\tBINDING ?2\nP5\tMK\tBINDING <1\nP6\tMK\tBINDING >2\nP7\tMK\tBINDING Q1-2:1\n"};
  auto const proteins = read_proteins(file.path());
  ASSERT_EQ(proteins.size(), 7u);
  EXPECT_TRUE(proteins[1].labels.empty());
  auto const [labelled, skipped] = read_labelled(file.path());
  EXPECT_EQ(labelled.size(), 1u);
  EXPECT_EQ(skipped, (SkipCounts{{"uncertain position", 4},
                                 {"position in another isoform", 1},
                                 {"no site that was asked for", 1}}));
}

TEST(ReadBindingSites, NeedsLabels) {
  EXPECT_EQ(read_binding_sites(TextFile{">a\nM\n-\n>b\nMK\n-0\n"}.path()).size(), 2u);
  EXPECT_EQ(refusal(">a\nM\n-\n", read_binding_sites),
            ": expected residues labelled 0 or 1, found only unknown ones");
  EXPECT_EQ(refusal(">a\nMK\nVL\n", read_binding_sites),
            ":3: column 1: expected a label 0, 1 or -, found 'V'; FASTA has no labels");
  EXPECT_EQ(refusal("Entry,Sequence\nA,MK\n", read_binding_sites),
            ":1: expected '>', the columns of a UniProt table between tabs, 'ID' of its flat text, "
            "or a table of Yu et al., found 'Entry,Sequence'");
  EXPECT_EQ(refusal("", read_binding_sites), ": expected three-line records, found none");
}

}  // namespace
