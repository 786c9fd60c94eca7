#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/collection.hpp>

namespace {
using namespace qlora;
using Outcome = Collection::Outcome;

Protein protein(std::string id, std::string sequence, std::vector<std::int8_t> labels) {
  return {.id = std::move(id), .sequence = std::move(sequence), .labels = std::move(labels)};
}

TEST(Collection, MergesWhatRecursInLaterFiles) {
  auto collection = Collection{};
  EXPECT_EQ(collection.add(protein("a", "MKV", {0, 1, -1}), "F", 1), Outcome::added);
  EXPECT_EQ(collection.add(protein("b", "GGG", {0, 0, 0}), "", 1), Outcome::added);
  EXPECT_EQ(collection.add(protein("a", "MKV", {1, 0, 0}), "G", 2), Outcome::merged);
  EXPECT_EQ(collection.add(protein("c", "MKV", {-1, -1, -1}), "F", 2), Outcome::merged);
  EXPECT_EQ(collection.add(protein("d", "GGG", {0, 0, 1}), "H", 3), Outcome::merged);
  auto const proteins = collection.take();
  ASSERT_EQ(proteins.size(), 2u);
  EXPECT_EQ(proteins[0].protein, protein("a", "MKV", {1, 1, 0}));
  EXPECT_EQ(proteins[0].families, (std::vector<std::string>{"F", "G"}));
  EXPECT_EQ(proteins[1].protein, protein("b", "GGG", {0, 0, 1}));
  EXPECT_EQ(proteins[1].families, (std::vector<std::string>{"H"}));
}

TEST(Collection, KeepsRecordsOfOneFileApart) {
  auto collection = Collection{};
  EXPECT_EQ(collection.add(protein("a", "MK", {0, 1}), "F", 1), Outcome::added);
  EXPECT_EQ(collection.add(protein("b", "MK", {1, 0}), "G", 1), Outcome::added);
  auto const proteins = collection.take();
  ASSERT_EQ(proteins.size(), 2u);
  EXPECT_EQ(proteins[0].protein.labels, (std::vector<std::int8_t>{0, 1}));
  EXPECT_EQ(proteins[1].protein.labels, (std::vector<std::int8_t>{1, 0}));
}

TEST(Collection, TellsAllProteinsOfASequenceWhatALaterFileKnows) {
  auto collection = Collection{};
  EXPECT_EQ(collection.add(protein("a", "MKV", {0, 1, -1}), "F", 1), Outcome::added);
  EXPECT_EQ(collection.add(protein("b", "MKV", {0, 0, -1}), "G", 1), Outcome::added);
  EXPECT_EQ(collection.add(protein("b", "MKV", {1, 0, -1}), "H", 2), Outcome::merged);
  EXPECT_EQ(collection.add(protein("c", "MKV", {-1, -1, 0}), "F", 2), Outcome::merged);
  auto const proteins = collection.take();
  ASSERT_EQ(proteins.size(), 2u);
  EXPECT_EQ(proteins[0].protein, protein("a", "MKV", {1, 1, 0}));
  EXPECT_EQ(proteins[0].families, (std::vector<std::string>{"F", "H"}));
  EXPECT_EQ(proteins[1].protein, protein("b", "MKV", {1, 0, 0}));
  EXPECT_EQ(proteins[1].families, (std::vector<std::string>{"G"}));
}

TEST(Collection, LeavesOutAnIdentifierOfAnotherSequence) {
  auto collection = Collection{};
  EXPECT_EQ(collection.add(protein("a", "MK", {0, 1}), "", 1), Outcome::added);
  EXPECT_EQ(collection.add(protein("a", "MKV", {0, 1, 0}), "", 2), Outcome::contradicts);
  EXPECT_EQ(collection.take().size(), 1u);
}

}  // namespace
