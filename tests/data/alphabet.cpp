#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/alphabet.hpp>

namespace {
using namespace qlora;

static_assert(alphabet::token_of('L') == 4);
static_assert(alphabet::token_of('-') == 30);

TEST(Alphabet, GivesTheReferenceTokens) {
  auto tokens = std::vector<alphabet::Token>{};
  for (auto const letter : std::string_view{"LAGVSERTIDPKQNFYMHWCXBUZO.-"}) {
    tokens.push_back(alphabet::token_of(letter));
  }
  for (auto i = std::size_t{0}; i < tokens.size(); ++i) {
    EXPECT_EQ(tokens[i], static_cast<alphabet::Token>(i + 4));
  }
}

TEST(Alphabet, HasNoTokenForAnythingElse) {
  for (auto const letter : std::string_view{"Jla*5 \x80\xff"}) {
    EXPECT_EQ(alphabet::token_of(letter), alphabet::unk) << letter;
  }
}

}  // namespace
