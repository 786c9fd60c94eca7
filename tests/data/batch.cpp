#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/batch.hpp>

namespace {
using namespace qlora;

template <class T>
std::vector<T> list(Vector<T const> view) {
  return {view.begin(), view.end()};
}
using Numbers = std::vector<std::int32_t>;
constexpr auto none = PackedBatch::ignored;

TEST(PackedBatch, PacksProteinsWithoutPads) {
  auto batch = PackedBatch{};
  batch.add({.id = "a", .sequence = "LAG", .labels = {0, 1, label_unknown}}, 7);
  batch.add({.id = "b", .sequence = "K", .labels = {-7}}, 3);

  EXPECT_EQ(batch.tokens(), 8);
  EXPECT_EQ(batch.sequences(), 2);
  EXPECT_EQ(batch.longest(), 5);
  EXPECT_EQ(list(batch.token_ids()), (Numbers{0, 4, 5, 6, 2, 0, 15, 2}));
  EXPECT_EQ(list(batch.labels()), (Numbers{none, 0, 1, none, none, none, none, none}));

  auto const packing = batch.packing();
  EXPECT_EQ(packing.sequences(), 2);
  EXPECT_EQ(packing.tokens(), 8);
  EXPECT_EQ(packing.longest, 5);
  EXPECT_EQ(list(packing.offsets), (Numbers{0, 5, 8}));
  EXPECT_EQ(list(packing.positions), (Numbers{0, 1, 2, 3, 4, 0, 1, 2}));
  EXPECT_EQ(list(packing.samples), (std::vector<std::uint32_t>{7, 7, 7, 7, 7, 3, 3, 3}));
}

TEST(PackedBatch, IsEmptyAtFirst) {
  auto const batch = PackedBatch{};
  EXPECT_EQ(batch.tokens(), 0);
  EXPECT_EQ(batch.packing().sequences(), 0);
}

TEST(PackedBatch, StartsAnewOnceCleared) {
  auto batch = PackedBatch{};
  batch.add({.id = "", .sequence = "LAGV", .labels = {1, 1, 1, 1}}, 1);
  auto const* const memory = batch.token_ids().data();
  batch.clear();
  EXPECT_EQ(batch.tokens(), 0);
  EXPECT_EQ(batch.sequences(), 0);
  batch.add({.id = "", .sequence = "A", .labels = {1}}, 2);
  EXPECT_EQ(batch.longest(), 3);
  EXPECT_EQ(list(batch.token_ids()), (Numbers{0, 5, 2}));
  EXPECT_EQ(list(batch.labels()), (Numbers{none, 1, none}));
  EXPECT_EQ(list(batch.packing().offsets), (Numbers{0, 3}));
  EXPECT_EQ(batch.token_ids().data(), memory);
}

}  // namespace
