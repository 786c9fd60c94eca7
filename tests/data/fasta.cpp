#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/fasta.hpp>

#include "reading.hpp"

namespace {
using namespace qlora;
using namespace std::string_literals;
using qlora::testing::refusal;
using qlora::testing::TextFile;

std::vector<Protein> read(std::filesystem::path const& path) {
  auto proteins = std::vector<Protein>{};
  for_each_fasta(path, [&](Protein&& protein) { proteins.push_back(std::move(protein)); });
  return proteins;
}

std::vector<Protein> parse(std::string const& content) {
  return read(TextFile{content}.path());
}

TEST(Fasta, JoinsLinesAndTakesTheFirstWordAsIdentifier) {
  auto const proteins = parse(">sp|P1|A first one\nMKV\nLA\n\n>b\tx\nGG\n");
  ASSERT_EQ(proteins.size(), 2u);
  EXPECT_EQ(proteins[0], (Protein{.id = "sp|P1|A", .sequence = "MKVLA", .labels = {}}));
  EXPECT_EQ(proteins[1], (Protein{.id = "b", .sequence = "GG", .labels = {}}));
}

TEST(Fasta, AcceptsWhatFilesHold) {
  EXPECT_EQ(parse("\xef\xbb\xbf>a\r\nmkv\r\n")[0].sequence, "MKV");
  EXPECT_EQ(parse(">a\nMKV*\n>b\nMK\n*\n")[1].sequence, "MK");
  EXPECT_EQ(parse(">a\nUOBZXJ")[0].sequence, "UOBZXJ");
  auto const titin = std::string(34'350, 'T');
  EXPECT_EQ(parse(">titin\n" + titin)[0].sequence, titin);
}

TEST(Fasta, RefusesWhatIsNoSequence) {
  EXPECT_EQ(refusal(">a\nMK\nM-V\n", read), ":3: column 2: expected a residue letter, found '-'");
  EXPECT_EQ(refusal(">a\nMK.V\n", read), ":2: column 3: expected a residue letter, found '.'");
  EXPECT_EQ(refusal(">a\nMK4\n", read), ":2: column 3: expected a residue letter, found '4'");
  EXPECT_EQ(refusal(">a\nM V\n", read), ":2: column 2: expected a residue letter, found ' '");
  EXPECT_EQ(refusal(">a\nM\xc3V\n", read), ":2: column 2: expected a residue letter, found 0xc3");
  EXPECT_EQ(refusal(">a\nM*V\n", read), ":2: column 2: expected a residue letter, found '*'");
  EXPECT_EQ(refusal(">a\nMK**\n", read), ":2: column 3: expected a residue letter, found '*'");
  EXPECT_EQ(refusal(">a\nMK*\nV\n", read),
            ":3: expected the next record after '*', found more residues");
  EXPECT_EQ(refusal(">a\nM\0V\n"s, read), ":2: expected text, found a NUL byte");
}

TEST(Fasta, RefusesBrokenRecords) {
  EXPECT_EQ(refusal("", read), ": expected FASTA records, found none");
  EXPECT_EQ(refusal("\n\n", read), ": expected FASTA records, found none");
  EXPECT_EQ(refusal("MKV\n", read), ":1: expected a header that starts with '>', found 'M'");
  EXPECT_EQ(refusal(">\nMKV\n", read), ":1: expected an identifier after '>', found none");
  EXPECT_EQ(refusal("> a\nMKV\n", read), ":1: expected an identifier after '>', found none");
  EXPECT_EQ(refusal(">a\nM\n>b\n>c\nM\n", read), ":3: expected a sequence for 'b', found none");
  EXPECT_EQ(refusal(">a\nM\n>b\n*\n", read), ":3: expected a sequence for 'b', found none");
  EXPECT_EQ(refusal(">\x1b[31ma\nM\n", read),
            ":1: expected an identifier without blanks and control characters, found '?[31ma'");
  EXPECT_EQ(refusal(">a\nM\n>a x\nM\n", read), ":3: expected a new identifier, found 'a' again");
}

}  // namespace
