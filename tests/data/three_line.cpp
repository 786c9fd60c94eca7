#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/three_line.hpp>

#include "reading.hpp"

namespace {
using namespace qlora;
using qlora::testing::refusal;
using qlora::testing::TextFile;

std::vector<Protein> read_all(std::filesystem::path const& path) {
  auto proteins = std::vector<Protein>{};
  for_each_three_line(path, [&](Protein&& protein) { proteins.push_back(std::move(protein)); });
  return proteins;
}

TEST(ThreeLine, ReadsLabels) {
  auto const proteins = read_all(TextFile{">a x\r\nmKV\r\n01-\r\n\r\n>b\nM\n1"}.path());
  ASSERT_EQ(proteins.size(), 2u);
  EXPECT_EQ(proteins[0], (Protein{.id = "a", .sequence = "MKV", .labels = {0, 1, -1}}));
  EXPECT_EQ(proteins[1], (Protein{.id = "b", .sequence = "M", .labels = {1}}));
}

TEST(ThreeLine, ReadsWhatItWrites) {
  auto const proteins = std::vector<Protein>{{.id = "a", .sequence = "MKV", .labels = {0, 1, -1}},
                                             {.id = "b", .sequence = "GJ", .labels = {-1, -1}}};
  auto const file = TextFile{"old content"};
  write_three_line(file.path(), proteins);
  EXPECT_EQ(read_all(file.path()), proteins);
}

TEST(ThreeLine, WritesMissingLabelsAsUnknown) {
  auto const file = TextFile{""};
  write_three_line(file.path(), std::vector<Protein>{{.id = "a", .sequence = "MK", .labels = {}}});
  EXPECT_EQ(read_all(file.path())[0].labels, (std::vector<std::int8_t>{-1, -1}));
}

TEST(ThreeLine, RefusesBrokenRecords) {
  EXPECT_EQ(refusal("", read_all), ": expected three-line records, found none");
  EXPECT_EQ(refusal("MK\n01\n", read_all), ":1: expected a header that starts with '>', found 'M'");
  EXPECT_EQ(refusal(">\nMK\n01\n", read_all), ":1: expected an identifier after '>', found none");
  EXPECT_EQ(refusal(">a\n", read_all), ":1: expected the sequence of 'a', found none");
  EXPECT_EQ(refusal(">a\nMK", read_all), ":2: expected the labels of 'a', found none");
  EXPECT_EQ(refusal(">a\nMK\n\n01\n", read_all), ":3: expected the labels of 'a', found none");
  EXPECT_EQ(refusal(">a\nMK\n011\n", read_all), ":3: expected 2 labels for 'a', found 3");
  EXPECT_EQ(refusal(">a\nMK\n0\n", read_all), ":3: expected 2 labels for 'a', found 1");
  EXPECT_EQ(refusal(">a\nMK\n02\n", read_all),
            ":3: column 2: expected a label 0, 1 or -, found '2'");
  EXPECT_EQ(refusal(">a\nM1\n01\n", read_all),
            ":2: column 2: expected a residue letter, found '1'");
  EXPECT_EQ(refusal(">a\nM\n0\n>a\nM\n0\n", read_all),
            ":4: expected a new identifier, found 'a' again");
}

}  // namespace
