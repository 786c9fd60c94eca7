#include <gtest/gtest.h>

#include <qlora/data/disjoint_sets.hpp>

namespace {
using namespace qlora;

TEST(DisjointSets, JoinsThroughOthers) {
  auto sets = DisjointSets{6};
  EXPECT_NE(sets.find(0), sets.find(1));
  sets.join(0, 1);
  sets.join(2, 3);
  sets.join(1, 1);
  EXPECT_NE(sets.find(0), sets.find(3));
  sets.join(3, 1);
  for (auto const member : {0u, 1u, 2u, 3u}) EXPECT_EQ(sets.find(member), sets.find(0));
  EXPECT_NE(sets.find(4), sets.find(0));
  EXPECT_NE(sets.find(4), sets.find(5));
}

}  // namespace
