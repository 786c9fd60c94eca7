// qlora compare and qlora demo: arms x seeds, on the same data.
#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

/// What stands in the first row of the tables that begins with these cells.
std::vector<std::string> row(std::string const& tables, std::vector<std::string> const& head) {
  auto lines = std::istringstream{tables};
  for (auto line = std::string{}; std::getline(lines, line);) {
    auto words = std::istringstream{line};
    auto found = std::vector<std::string>{};
    for (auto word = std::string{}; words >> word;) found.push_back(word);
    if (found.size() < head.size()) continue;
    if (std::equal(head.begin(), head.end(), found.begin())) {
      return {found.begin() + std::ssize(head), found.end()};
    }
  }
  ADD_FAILURE() << "no row of " << head.front() << " in\n" << tables;
  return std::vector<std::string>(9);
}

TEST(Compare, RunsEveryArmWithEverySeed) {
  auto const program = Program{};
  auto const outcome = program.done(
      quick_training("compare", "study") +
      std::vector<std::string>{"--arms", "qkv,all:r=4,quant=none,head", "--seeds", "2", "--seed",
                               "5", "--rank", "3", "--valid", golden("train/data.txt")});
  auto const comparison = program.json("study/comparison.json");
  EXPECT_EQ(comparison.at("seeds"), (nlohmann::json{5, 6}));
  auto const& arms = comparison.at("arms");
  ASSERT_EQ(arms.size(), 3u);
  EXPECT_EQ(arms[0].at("name"), "qkv");
  EXPECT_EQ(arms[1].at("name"), "all:r=4,quant=none");
  // Odd sizes: 3 layers, hidden 40, feed-forward 104; the head has 82 parameters.
  EXPECT_EQ(arms[0].at("trainable_parameters"), 3 * 3 * 3 * 80 + 82);
  EXPECT_EQ(arms[1].at("trainable_parameters"), 3 * 4 * (4 * 80 + 2 * 144) + 82);
  EXPECT_EQ(arms[2].at("trainable_parameters"), 82);
  for (auto const& arm : arms) {
    auto mean = 0.;
    ASSERT_EQ(arm.at("runs").size(), 2u);
    for (auto const& run : arm.at("runs")) {
      auto const folder = "study/" + run.at("folder").get<std::string>();
      EXPECT_EQ(run.at("metrics"), program.json(folder + "/metrics.json"));
      EXPECT_TRUE(std::filesystem::exists(program.path(folder) / "adapter_model.safetensors"));
      mean += run.at("metrics").at("test").at("f1").get<double>() / 2.;
    }
    EXPECT_NEAR(arm.at("summary").at("test").at("f1").at("mean").get<double>(), mean, 1e-12);

    auto const name = arm.at("name").get<std::string>();
    auto const& summary = arm.at("summary");
    auto const metrics = row(outcome.out, {"arm", "split"});
    ASSERT_EQ(metrics.size(), 9u) << outcome.out;
    for (auto const* const split : {"train", "valid", "test", "gap"}) {
      auto const shown = row(outcome.out, {name, split});
      ASSERT_EQ(shown.size(), metrics.size()) << outcome.out;
      for (auto i = std::size_t{0}; i < metrics.size(); ++i) {
        auto const value = summary.at(split).at(metrics[i]).at("mean").get<double>();
        EXPECT_NEAR(std::stod(shown[i]), value, 5.01e-5) << name << split << metrics[i];
      }
    }
    auto const parameters = arm.at("trainable_parameters").get<int>();
    auto const costs = row(outcome.out, {name, std::to_string(parameters)});
    auto const& precision = summary.at("test").at("average_precision");
    EXPECT_NEAR(std::stod(costs.at(3)), precision.at("mean").get<double>(), 5.01e-5);
    EXPECT_NEAR(std::stod(costs.at(4)), precision.at("deviation").get<double>(), 5.01e-5);
  }
  EXPECT_EQ(program.json("study/all-r4-quantnone/seed-6/qlora.json").at("quant"), "none");
  ASSERT_EQ(comparison.at("differences").size(), 2u);
  for (auto const& difference : comparison.at("differences")) {
    auto const by_seed = difference.at("by_seed").get<std::vector<double>>();
    auto const interval = difference.at("interval").get<std::vector<double>>();
    // Two seeds: t of one degree of freedom times half their distance.
    EXPECT_NEAR(interval[1] - interval[0], 12.706 * std::abs(by_seed[1] - by_seed[0]), 1e-9);
    auto const shown = row(outcome.out, {difference.at("arm"), "-", "qkv,"});
    ASSERT_GE(shown.size(), 6u);  // test average precision: MEAN [LOW, HIGH]:
    EXPECT_NEAR(std::stod(shown[3]), difference.at("mean").get<double>(), 5.01e-5);
    EXPECT_NEAR(std::stod(shown[4].substr(1)), interval[0], 5.01e-5);
    EXPECT_NEAR(std::stod(shown[5]), interval[1], 5.01e-5);
  }

  // An arm is what `train` does with its flags.
  program.done(quick_training("train", "single") +
               std::vector<std::string>{"--placement", "all", "--rank", "4", "--quant", "none",
                                        "--seed", "6"});
  EXPECT_EQ(program.read("single/adapter_model.safetensors"),
            program.read("study/all-r4-quantnone/seed-6/adapter_model.safetensors"));
}

TEST(Compare, RefusesArmsThatAreNone) {
  auto const program = Program{};
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"qvk", "expected one of qkv all card head, found qvk"},
      {"qkv,qkv", "expected each arm once, found qkv again"},
      {"qkv:rank=2", "expected r, alpha, dropout, lr or quant, found rank"},
      {"qkv:r=two", "qkv:r=two: expected a number for r, found two"},
      {"qkv:r=010", "qkv:r=010: expected a number for r, found 010"},
      {"qkv:r=65537", "expected r from 1 to 65536, found 65537"},
      {"qkv:alpha=2e9", "alpha: expected -1e9 to 1e9, found 2e+09"},
      {"qkv:r=2,r=3", "expected each of its changes once, found r again"},
      {"qkv:", "expected a change after the :"},
      {"all:quant=nf5", "expected one of none nf4 fp4 int8, found nf5"},
      {"", "expected at least one arm, found none"}};
  for (auto const& [arms, expected] : cases) {
    program.refuses(quick_training("compare", "study") + std::vector<std::string>{"--arms", arms},
                    {expected});
  }
  EXPECT_FALSE(std::filesystem::exists(program.path("study")));
}

TEST(Demo, ComparesOnTheEmbeddedDefault) {
  auto const program = Program{};
  program.refuses({"demo", "--class-weights", "0,1"}, {"class_weights", "above 0, found 0"});
  auto const outcome =
      program.done({"demo", "--families", "10", "--epochs", "1", "--seeds", "1", "--quiet"});
  auto const comparison = program.json("qlora-demo/study/comparison.json");
  EXPECT_GE(comparison.at("arms").size(), 2u);
  EXPECT_TRUE(std::filesystem::exists(program.path("qlora-demo/data/groups.tsv")));
  EXPECT_NE(outcome.out.find("qkv"), std::string::npos);
  program.refuses({"demo", "--families", "10"}, {"qlora-demo", "empty folder"});
  program.refuses({"demo", "--arms", "bogus", "--out", "other"}, {"bogus"});
  EXPECT_FALSE(std::filesystem::exists(program.path("other")));
}

}  // namespace
}  // namespace qlora::testing
