// qlora compare and qlora demo: arms x seeds, on the same data.
#include <algorithm>
#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

TEST(Compare, RunsEveryArmWithEverySeed) {
  auto const program = Program{};
  auto const outcome =
      program.done(quick_training("compare", "study") +
                   std::vector<std::string>{"--arms", "qkv,all:r=4,quant=none,head", "--seeds", "2",
                                            "--seed", "5", "--rank", "3"});
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
    EXPECT_NE(outcome.out.find(arm.at("name").get<std::string>()), std::string::npos);
  }
  EXPECT_EQ(program.json("study/all-r4-quantnone/seed-6/qlora.json").at("quant"), "none");
  ASSERT_EQ(comparison.at("differences").size(), 2u);
  for (auto const& difference : comparison.at("differences")) {
    auto const by_seed = difference.at("by_seed").get<std::vector<double>>();
    auto const interval = difference.at("interval").get<std::vector<double>>();
    // Two seeds: t of one degree of freedom times half their distance.
    EXPECT_NEAR(interval[1] - interval[0], 12.706 * std::abs(by_seed[1] - by_seed[0]), 1e-9);
  }
  for (auto const* const part : {"auc_card", "average_precision", "train", "test", "gap"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
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
  for (auto const* const arms : {"qvk", "qkv,qkv", "qkv:rank=2", "qkv:r=two", "qkv:r=65537",
                                 "qkv:r=2,r=3", "qkv:", "all:quant=nf5", ""}) {
    program.refuses(quick_training("compare", "study") + std::vector<std::string>{"--arms", arms},
                    {"expected"});
  }
  EXPECT_FALSE(std::filesystem::exists(program.path("study")));
}

TEST(Demo, ComparesOnTheEmbeddedDefault) {
  auto const program = Program{};
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
