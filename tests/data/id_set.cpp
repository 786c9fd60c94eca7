#include <string>

#include <gtest/gtest.h>

#include <qlora/data/id_set.hpp>

namespace {
using namespace qlora;

TEST(IdSet, KnowsWhatCame) {
  auto ids = IdSet{};
  EXPECT_TRUE(ids.empty());
  EXPECT_FALSE(ids.contains("P1"));
  for (auto i = 0; i < 200'000; ++i) EXPECT_TRUE(ids.insert("P" + std::to_string(i))) << i;
  EXPECT_EQ(ids.size(), 200'000u);
  for (auto i = 0; i < 200'000; ++i) EXPECT_FALSE(ids.insert("P" + std::to_string(i))) << i;
  EXPECT_EQ(ids.size(), 200'000u);
  EXPECT_TRUE(ids.contains("P1"));
  EXPECT_FALSE(ids.contains("P200000"));
  EXPECT_EQ(ids.size(), 200'000u);
}

TEST(IdSet, TellsTextsApartThatDifferByLittle) {
  auto ids = IdSet{};
  auto text = std::string{};
  for (auto length = 0; length < 40; ++length) {
    EXPECT_TRUE(ids.insert(text)) << length;
    text += '\0';
  }
  EXPECT_TRUE(ids.insert("sp|P12345|A"));
  EXPECT_TRUE(ids.insert("sp|P12345|B"));
  EXPECT_TRUE(ids.insert("sp|P12354|A"));
  EXPECT_FALSE(ids.insert("sp|P12345|B"));
}

}  // namespace
