#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/shuffle_labels.hpp>

namespace {
using namespace qlora;

TEST(ShuffledLabels, KeepEachProteinsSitesAndUnknowns) {
  auto protein = Protein{.id = "a", .sequence = std::string(60, 'M'), .labels = {}};
  for (auto i = 0; i < 60; ++i) {
    protein.labels.push_back(i % 7 == 0 ? label_unknown : i < 20 ? label_positive : label_negative);
  }
  auto const proteins =
      std::vector<Protein>{protein, protein, {.id = "b", .sequence = "M", .labels = {}}};
  auto const shuffled = shuffled_labels(proteins, 5);
  ASSERT_EQ(shuffled.size(), 3u);
  for (auto p = 0u; p < 2; ++p) {
    EXPECT_NE(shuffled[p].labels, protein.labels);
    EXPECT_TRUE(std::ranges::is_permutation(shuffled[p].labels, protein.labels));
    for (auto i = 0u; i < 60; i += 7) EXPECT_EQ(shuffled[p].labels[i], label_unknown);
  }
  EXPECT_NE(shuffled[0].labels, shuffled[1].labels);
  EXPECT_EQ(shuffled[2], proteins[2]);
  EXPECT_EQ(shuffled, shuffled_labels(proteins, 5));
  EXPECT_NE(shuffled, shuffled_labels(proteins, 6));
}

}  // namespace
