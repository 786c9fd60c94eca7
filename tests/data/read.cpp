#include <gtest/gtest.h>

#include <qlora/data/read.hpp>

#include "reading.hpp"

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

TEST(ReadBindingSites, NeedsLabels) {
  EXPECT_EQ(read_binding_sites(TextFile{">a\nM\n-\n>b\nMK\n-0\n"}.path()).size(), 2u);
  EXPECT_EQ(refusal(">a\nM\n-\n", read_binding_sites),
            ": expected residues labelled 0 or 1, found only unknown ones");
  EXPECT_EQ(refusal(">a\nMK\nVL\n", read_binding_sites),
            ":3: column 1: expected a label 0, 1 or -, found 'V'");
  EXPECT_EQ(refusal("", read_binding_sites), ": expected three-line records, found none");
}

}  // namespace
