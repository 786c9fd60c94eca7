#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <qlora/report/study.hpp>

namespace {

using namespace qlora;
using report::StudyArm;

/// Runs whose average precisions are `by_seed` plus those of four groups.
StudyArm arm(std::string name, std::vector<double> const& by_seed) {
  auto result = StudyArm{std::move(name), {}};
  for (auto const level : by_seed) {
    auto run = metrics::GroupScores{};
    for (auto const group : {-.01, 0., .02, .01}) {
      run.average_precision.push_back(level + group);
      run.precision_at_recall.push_back(level / 2 + group);
      run.confusion.push_back({.tp = 1, .fp = 2, .tn = 6, .fn = 1});
    }
    result.runs.push_back(std::move(run));
  }
  return result;
}

bool contains(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

auto const qkv = arm("qkv", {.50, .51, .49});

TEST(Study, ShowsLevelsBesideChance) {
  auto const interval = report::level(qkv);
  EXPECT_NEAR(interval.estimate, .505, 1e-12);
  EXPECT_LT(interval.low, .5);
  auto const table = report::level_table(std::array{qkv}).text();
  EXPECT_TRUE(contains(table, "0.5050")) << table;
  EXPECT_TRUE(contains(table, "precision at recall .5")) << table;
  EXPECT_TRUE(contains(table, "random order             0.3715")) << table;
  EXPECT_TRUE(contains(table, "prevalence               0.2000")) << table;
}

TEST(Study, IntervalsEndWhereTheNumbersDo) {
  auto const wild = arm("wild", {.9, .1, .95});
  auto const interval = report::level(wild);
  EXPECT_EQ(interval.low, 0.);
  EXPECT_EQ(interval.high, 1.);
  auto const difference = report::difference(wild, arm("other", {.1, .9, .1}));
  EXPECT_EQ(difference.interval.low, -1.);
  EXPECT_EQ(difference.interval.high, 1.);
}

TEST(Study, SaysWhatADifferenceMeans) {
  auto const better = report::difference(arm("all", {.60, .612, .59}), qkv);
  EXPECT_EQ(better.verdict, metrics::Verdict::better);
  EXPECT_EQ(better.estimate(), "+0.1007");
  EXPECT_TRUE(contains(better.sentence(), "all against qkv: better by 0.1007"))
      << better.sentence();
  EXPECT_TRUE(contains(better.sentence(), "4 groups, 3 seeds")) << better.sentence();
  auto const worse = report::difference(qkv, arm("all", {.60, .612, .59}));
  EXPECT_TRUE(contains(worse.sentence(), "worse by 0.1007")) << worse.sentence();
  auto const same = report::difference(arm("other", {.501, .5095, .491}), qkv);
  EXPECT_TRUE(contains(same.sentence(), "differ by less than 0.02")) << same.sentence();
  auto const open = report::difference(arm("wild", {.60, .40, .55}), qkv);
  EXPECT_TRUE(contains(open.sentence(), "neither a difference nor equality")) << open.sentence();
  auto const single = report::difference(arm("all", {.6}), arm("qkv", {.5}));
  EXPECT_EQ(single.verdict, metrics::Verdict::undecided);
  EXPECT_TRUE(contains(single.sentence(), "fewer than three seeds")) << single.sentence();
  auto const table = report::difference_table(std::array{better, open}).text();
  EXPECT_TRUE(contains(table, "all - qkv           +0.1007")) << table;
  EXPECT_TRUE(contains(table, "undecided")) << table;
}

TEST(Study, IsWrittenAsJson) {
  auto const json = report::difference_json<nlohmann::ordered_json>(
      report::difference(arm("all", {.60, .612, .59}), qkv, {.margin = .05}));
  EXPECT_EQ(json.at("against"), "qkv");
  EXPECT_EQ(json.at("verdict"), "better");
  EXPECT_EQ(json.at("margin"), .05);
  EXPECT_EQ(json.at("by_seed").size(), 3u);
  EXPECT_FALSE(json.contains("doubt"));
  auto const alone = report::StudyArm{"one", {arm("one", {.5}).runs.front()}};
  EXPECT_EQ(report::interval_json<nlohmann::ordered_json>(report::level(alone)).at("doubt"),
            "fewer than three seeds");
}

}  // namespace
