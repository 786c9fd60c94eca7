#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/legacy_alignment.hpp>

namespace {
using namespace qlora;

TEST(LegacyAlignment, GivesAResidueTheNextLabel) {
  auto chunk = Protein{.id = "a", .sequence = "MKVL", .labels = {1, 0, 0, 1}};
  shift_labels_as_published(chunk);
  EXPECT_EQ(chunk.labels, (std::vector<std::int8_t>{0, 0, 1, label_unknown}));
  auto unlabelled = Protein{.id = "a", .sequence = "MKVL", .labels = {}};
  shift_labels_as_published(unlabelled);
  EXPECT_TRUE(unlabelled.labels.empty());
}

}  // namespace
