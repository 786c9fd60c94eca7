#include <limits>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <qlora/core/error.hpp>
#include <qlora/metrics/scores.hpp>

namespace {

using namespace qlora::metrics;

auto const scores =
    Scores{.values = {{"recall", 0.5}, {"f1", std::numeric_limits<double>::quiet_NaN()}},
           .confusion = {.tp = 1, .fp = 2, .tn = 3, .fn = 1},
           .proteins = 2};

TEST(Scores, AreFoundByNameAndByType) {
  EXPECT_EQ(scores["recall"], 0.5);
  EXPECT_EQ(scores.get<Recall>(), 0.5);
  EXPECT_EQ(scores.residues(), 7u);
}

TEST(Scores, RefuseANameThatWasNotComputed) {
  try {
    scores.get<Mcc>();
    FAIL();
  } catch (qlora::InputError const& error) {
    EXPECT_STREQ(error.what(), "metrics: expected one of recall f1, found \"mcc\"");
  }
}

TEST(Scores, AreWrittenAsJsonInOrder) {
  EXPECT_EQ(
      nlohmann::ordered_json(scores).dump(),
      R"({"recall":0.5,"f1":null,"confusion":{"tp":1,"fp":2,"tn":3,"fn":1},"residues":7,"proteins":2})");
}

TEST(Scores, ArePrinted) {
  auto out = std::ostringstream{};
  out << Scores{.values = {{"recall", 0.5}, {"mcc", -0.25}}, .confusion = {}};
  EXPECT_EQ(out.str(), "recall 0.5\nmcc -0.25\n");
}

}  // namespace
