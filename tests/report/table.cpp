#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include <qlora/core/error.hpp>
#include <qlora/report/table.hpp>

namespace {

using namespace qlora::report;

Table arms() {
  auto table = Table{{{"arm", Align::left},
                      {"average precision"},
                      {"trainable_parameters"},
                      {"seconds", Align::right, 1}}};
  table.add({"qkv", 0.18940001, 23682, 31.25});
  table.add({std::string{"all"}, 1. / 3, std::uint64_t{69762}, 140.f});
  return table;
}

TEST(Table, AlignsText) {
  EXPECT_EQ(arms().text(),
            "arm  average precision  trainable_parameters  seconds\n"
            "---  -----------------  --------------------  -------\n"
            "qkv             0.1894                 23682     31.2\n"
            "all             0.3333                 69762    140.0\n");
}

TEST(Table, BreaksHeadersToFit) {
  EXPECT_EQ(arms().text({.width = 53}), arms().text());
  EXPECT_EQ(arms().text({.width = 52}), arms().text({.width = 10}));
  EXPECT_EQ(arms().text({.width = 52}),
            "       average  trainable_\n"
            "arm  precision  parameters  seconds\n"
            "---  ---------  ----------  -------\n"
            "qkv     0.1894       23682     31.2\n"
            "all     0.3333       69762    140.0\n");
}

TEST(Table, KeepsAHeaderThatHasNoBreak) {
  auto table = Table{{{"sensitivity"}, {"a b"}}};
  table.add({1, 2});
  EXPECT_EQ(table.text({.width = 5}),
            "             a\n"
            "sensitivity  b\n"
            "-----------  -\n"
            "          1  2\n");
}

TEST(Table, CountsCodePoints) {
  auto table = Table{{{"λ", Align::left}, {"Δ"}}};
  table.add({"naïve", "±1"}).add({"x", "−12"});
  EXPECT_EQ(table.text(),
            "λ        Δ\n"
            "-----  ---\n"
            "naïve   ±1\n"
            "x      −12\n");
}

TEST(Table, WritesMarkdown) {
  auto table = Table{{{"arm", Align::left}, {"f1"}}};
  table.add({"a|b\nc", 0.5}).add({"all", std::numeric_limits<double>::quiet_NaN()});
  EXPECT_EQ(table.markdown(),
            "| arm    |     f1 |\n"
            "| :----- | -----: |\n"
            "| a\\|b c | 0.5000 |\n"
            "| all    |    nan |\n");
}

TEST(Table, WritesExactNumbersToFiles) {
  auto table = Table{{{"arm, \"seed\""}, {"loss"}, {"tokens"}}};
  table.add({"a\tb", 0.1, -3}).add({"line\nbreak", 1e-300, 4'000'000'000'000});
  EXPECT_EQ(table.csv(),
            "\"arm, \"\"seed\"\"\",loss,tokens\n"
            "a\tb,0.1,-3\n"
            "\"line\nbreak\",1e-300,4000000000000\n");
  EXPECT_EQ(table.tsv(),
            "\"arm, \"\"seed\"\"\"\tloss\ttokens\n"
            "\"a\tb\"\t0.1\t-3\n"
            "\"line\nbreak\"\t1e-300\t4000000000000\n");
}

TEST(Table, HoldsEveryDouble) {
  auto table = Table{{{"x", Align::right, 17}}};
  table.add({std::numeric_limits<double>::lowest()})
      .add({-std::numeric_limits<double>::quiet_NaN()})
      .add({-std::numeric_limits<double>::infinity()});
  auto const text = table.text();
  EXPECT_NE(text.find("-179769313486231570"), std::string::npos);
  EXPECT_NE(text.find("58368.00000000000000000\n"), std::string::npos);
  EXPECT_NE(text.find(" nan\n"), std::string::npos);
  EXPECT_NE(text.find(" -inf\n"), std::string::npos);
}

TEST(Table, RefusesARowOfAnotherWidth) {
  try {
    arms().add({"qkv", 1});
    FAIL();
  } catch (qlora::ShapeError const& error) {
    EXPECT_STREQ(error.what(), "table row 3: expected 4 cells, found 2");
  }
}

}  // namespace
