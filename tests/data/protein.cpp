#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/protein.hpp>

#include "support/errors.hpp"

namespace {
using namespace qlora;

std::string refusal(std::vector<std::int8_t> labels) {
  auto const proteins =
      std::vector<Protein>{{.id = "fine", .sequence = "M", .labels = {}},
                           {.id = "a\tb", .sequence = "MKV", .labels = std::move(labels)}};
  return qlora::testing::message_of<InputError>([&] { checked(proteins); });
}

TEST(Labels, AreKnownFromZeroOn) {
  EXPECT_TRUE(is_known(label_negative) && is_known(label_positive));
  EXPECT_FALSE(is_known(label_unknown) || is_known(-100));
}

TEST(Checked, TakesLabelsOfEveryResidueOrOfNone) {
  EXPECT_EQ(refusal({}), "no error");
  EXPECT_EQ(refusal({0, 1, label_unknown}), "no error");
  EXPECT_EQ(refusal({-100, -128, 1}), "no error");
}

TEST(Checked, NamesTheProtein) {
  EXPECT_EQ(refusal({0, 1}), "a?b: expected 3 labels or none, found 2");
  EXPECT_EQ(refusal({0, 1, 0, 1}), "a?b: expected 3 labels or none, found 4");
  EXPECT_EQ(refusal({0, 2, 127}), "a?b: expected labels 0, 1 or negative, found 2");
}

}  // namespace
