#include <gtest/gtest.h>

#include <qlora/data/chunk.hpp>

namespace {
using namespace qlora;

TEST(Chunk, KeepsEveryResidueAndItsLabel) {
  auto const proteins = std::vector<Protein>{
      {.id = "short", .sequence = "MKVL", .labels = {0, 1, 0, -1}},
      {.id = "long", .sequence = "ACDEFGHIK", .labels = {1, 0, 0, 0, 1, 0, 0, 0, 1}}};
  auto const chunks = chunk(proteins, 4);
  EXPECT_EQ(chunks.cut, 1u);
  EXPECT_EQ(chunks.origins, (std::vector<ChunkOrigin>{{0, 0}, {1, 0}, {1, 4}, {1, 8}}));
  ASSERT_EQ(chunks.proteins.size(), 4u);
  EXPECT_EQ(chunks.proteins[0], proteins[0]);
  EXPECT_EQ(chunks.proteins[2],
            (Protein{.id = "long", .sequence = "FGHI", .labels = {1, 0, 0, 0}}));
  EXPECT_EQ(chunks.proteins[3], (Protein{.id = "long", .sequence = "K", .labels = {1}}));
}

TEST(Chunk, LeavesUnlabelledProteinsUnlabelled) {
  auto const chunks = chunk(std::vector<Protein>{{.id = "a", .sequence = "MKV", .labels = {}}}, 2);
  ASSERT_EQ(chunks.proteins.size(), 2u);
  EXPECT_TRUE(chunks.proteins[1].labels.empty());
}

TEST(Chunk, NeedsALength) {
  EXPECT_THROW(chunk(std::vector<Protein>{}, 0), InputError);
}

}  // namespace
