// qlora compare and qlora demo: arms x seeds, on the same data.
#include <algorithm>
#include <cmath>
#include <cstddef>
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
                               "5", "--rank", "3", "--valid", golden("train/data.txt"), "--no-null",
                               "--baselines", "none"});
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
    auto mean = 0., decided = 0.;
    ASSERT_EQ(arm.at("runs").size(), 2u);
    for (auto const& run : arm.at("runs")) {
      auto const folder = "study/" + run.at("folder").get<std::string>();
      EXPECT_EQ(run.at("metrics"), program.json(folder + "/metrics.json"));
      EXPECT_TRUE(std::filesystem::exists(program.path(folder) / "adapter_model.safetensors"));
      auto const& test = run.at("metrics").at("test");
      mean += test.at("f1").get<double>() / 2.;
      decided += test.at("at_valid_threshold").at("f1").get<double>() / 2.;
    }
    EXPECT_NEAR(arm.at("summary").at("test").at("f1").at("mean").get<double>(), mean, 1e-12);
    auto const& at_threshold = arm.at("summary").at("test").at("f1_at_valid_threshold");
    EXPECT_NEAR(at_threshold.at("mean").get<double>(), decided, 1e-12);

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
  EXPECT_EQ(row(outcome.out, {"decided", "on", "valid"}).size(), 6u) << outcome.out;
  EXPECT_EQ(program.json("study/all-r4-quantnone/seed-6/qlora.json").at("quant"), "none");
  ASSERT_EQ(comparison.at("differences").size(), 2u);
  EXPECT_EQ(comparison.at("published").at(0).at("mcc"), .2639);
  EXPECT_EQ(outcome.out.find("published, 8M"), std::string::npos);
  for (auto const& difference : comparison.at("differences")) {
    EXPECT_EQ(difference.at("doubt"), "fewer than three seeds");
    EXPECT_EQ(difference.at("verdict"), "undecided");
    auto const by_seed = difference.at("by_seed").get<std::vector<double>>();
    EXPECT_NEAR(difference.at("mean").get<double>(), (by_seed[0] + by_seed[1]) / 2., 1e-12);
    auto const interval = difference.at("interval").get<std::vector<double>>();
    auto const shown = row(outcome.out, {difference.at("arm"), "-", "qkv"});
    ASSERT_EQ(shown.size(), 4u);  // MEAN [LOW, HIGH] VERDICT
    EXPECT_NEAR(std::stod(shown[0]), difference.at("mean").get<double>(), 5.01e-5);
    EXPECT_NEAR(std::stod(shown[1].substr(1)), interval[0], 5.01e-5);
    EXPECT_NEAR(std::stod(shown[2]), interval[1], 5.01e-5);
  }

  // An arm is what `train` does with its flags.
  program.done(quick_training("train", "single") +
               std::vector<std::string>{"--placement", "all", "--rank", "4", "--quant", "none",
                                        "--seed", "6"});
  EXPECT_EQ(program.read("single/adapter_model.safetensors"),
            program.read("study/all-r4-quantnone/seed-6/adapter_model.safetensors"));
}

/// groups.tsv of the golden proteins: three a group.
std::string groups_of_three() {
  auto text = std::string{"chunk\tprotein\toffset\tfamily\tgroup\tsplit\n"};
  for (auto i = 0; i < 30; ++i) {
    auto const id = "protein_" + std::to_string(i);
    auto const family = "family_" + std::to_string(i / 3);
    for (auto const& cell : {id, id, std::string{"0"}, family, family})
      text.append(cell).append("\t");
    text += "test\n";
  }
  return text;
}

TEST(Compare, JudgesByGroupsAndSeeds) {
  auto const program = Program{};
  program.write("groups.tsv", groups_of_three());
  auto const outcome =
      program.done(quick_training("compare", "study") +
                   std::vector<std::string>{"--arms", "qkv,head", "--seeds", "3", "--margin", "0.9",
                                            "--groups", "groups.tsv", "--published"});
  auto const comparison = program.json("study/comparison.json");
  EXPECT_EQ(comparison.at("groups"), "groups.tsv");
  auto const& arms = comparison.at("arms");
  for (auto const& arm : arms) {
    auto const& endpoint = arm.at("by_group").at("average_precision");
    EXPECT_EQ(endpoint.at("groups").get<int>() + endpoint.at("left_out").get<int>(), 10);
    EXPECT_EQ(endpoint.at("seeds"), 3);
    EXPECT_LT(endpoint.at("interval").at(0), endpoint.at("mean"));
  }
  auto const& difference = comparison.at("differences").at(0);
  auto const mean = [&](std::size_t arm) {
    return arms.at(arm).at("by_group").at("average_precision").at("mean").get<double>();
  };
  EXPECT_NEAR(difference.at("mean").get<double>(), mean(1) - mean(0), 1e-12);
  EXPECT_EQ(difference.at("verdict"), "equivalent");  // within so wide a margin
  EXPECT_NE(outcome.out.find("head against qkv: equivalent: they differ by less than 0.9"),
            std::string::npos)
      << outcome.out;

  // The null is the first arm, run as that arm is, with seeds of its own.
  auto const& null = comparison.at("null");
  EXPECT_EQ(null.at("seeds"), (nlohmann::json{4, 5, 6}));
  EXPECT_EQ(null.at("arm"), "qkv, other seeds");
  EXPECT_TRUE(std::filesystem::exists(program.path("study/qkv/seed-6/metrics.json")));
  EXPECT_NE(outcome.out.find("Where nothing differs, qkv, other seeds against qkv"),
            std::string::npos);

  auto const& equal = comparison.at("at_equal_training_loss").at(0);
  EXPECT_EQ(equal.at("arm"), "head");
  EXPECT_GT(equal.at("training_loss"), 0.);
  EXPECT_NE(outcome.out.find("full fine-tuning"), std::string::npos);
}

TEST(Compare, PutsFloorsAndCeilingsBesideTheArms) {
  auto const program = Program{};
  auto const outcome =
      program.done(quick_training("compare", "study") +
                   std::vector<std::string>{"--arms", "head,head:labels=shuffled", "--seeds", "1",
                                            "--no-null", "--valid", golden("train/data.txt")});
  auto const comparison = program.json("study/comparison.json");
  auto const& baselines = comparison.at("baselines");
  ASSERT_EQ(baselines.size(), 3u);
  for (auto const& baseline : baselines) {
    auto const& test = baseline.at("metrics").at("test");
    EXPECT_TRUE(test.at("loss").is_null());
    auto const shown = row(outcome.out, {baseline.at("name"), "test", "-"});
    ASSERT_EQ(shown.size(), 8u) << outcome.out;
    EXPECT_NEAR(std::stod(shown[7]), test.at("average_precision").get<double>(), 5.01e-5);
  }
  // Trained on the very proteins: neighbours tell more than composition, and relatives everything.
  auto const precision = [&](std::size_t i) {
    return baselines.at(i).at("by_group").at("average_precision").at("mean").get<double>();
  };
  EXPECT_LT(precision(0), precision(1));
  EXPECT_EQ(comparison.at("differences").size(), 4u);
  EXPECT_EQ(comparison.at("differences").at(3).at("arm"), "homology");

  // Shuffling keeps the numbers of sites, so the weights, and changes what is learned.
  auto const given = program.json("study/head/seed-1/qlora.json");
  auto const shuffled = program.json("study/head-labelsshuffled/seed-1/qlora.json");
  EXPECT_EQ(given.at("labels"), "given");
  EXPECT_EQ(shuffled.at("labels"), "shuffled");
  EXPECT_EQ(given.at("class_weights"), shuffled.at("class_weights"));
  EXPECT_NE(program.read("study/head/seed-1/adapter_model.safetensors"),
            program.read("study/head-labelsshuffled/seed-1/adapter_model.safetensors"));

  for (auto const& [list, expected] : std::vector<std::pair<std::string, std::string>>{
           {"trees", "expected frequency, window, homology, truth or none, found trees"},
           {"window,window", "expected each once, found window again"}}) {
    program.refuses(
        quick_training("compare", "other") + std::vector<std::string>{"--baselines", list},
        {"--baselines: " + expected});
  }
}

TEST(Compare, FindsGroupsBesideTheData) {
  auto const program = Program{};
  program.write("data.txt", read_file(golden("train/data.txt")));
  auto const compare = [&](std::string const& out) {
    return program.done({"compare", "--model", golden("models/odd"), "--train", "data.txt",
                         "--test", "data.txt", "--out", out, "--epochs", "1", "--batch-sequences",
                         "6", "--arms", "head", "--seeds", "1", "--no-null"});
  };
  compare("alone");
  EXPECT_TRUE(program.json("alone/comparison.json").at("groups").is_null());
  program.write("groups.tsv", groups_of_three());
  auto const found = compare("found");
  EXPECT_EQ(program.json("found/comparison.json").at("groups"), "groups.tsv");
  EXPECT_NE(found.err.find("10 of 10 groups of the test split are in the training split"),
            std::string::npos)
      << found.err;
  program.write("groups.tsv", "chunk\tprotein\toffset\tfamily\tgroup\tsplit\n");
  EXPECT_NE(compare("other").err.find("each protein is a group of its own"), std::string::npos);
  std::filesystem::remove(program.path("groups.tsv"));
  std::filesystem::create_directory(program.path("groups.tsv"));
  EXPECT_NE(compare("none").err.find("each protein is a group of its own"), std::string::npos);
  std::filesystem::remove(program.path("groups.tsv"));
  program.write("groups.tsv", "chunk\tprotein\toffset\tfamily\tgroup\tsplit\n");
  program.refuses(
      quick_training("compare", "study") + std::vector<std::string>{"--groups", "groups.tsv"},
      {"groups.tsv", "expected a group of 'protein_0'"});
  program.refuses(quick_training("compare", "study") + std::vector<std::string>{"--margin", "-1"},
                  {"--margin: expected a number from 0 to 1"});
}

TEST(Compare, RefusesArmsThatAreNone) {
  auto const program = Program{};
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"qvk", "--arms: qvk: placement: expected one of qkv all card head, found qvk"},
      {"qkv,qkv", "expected each arm once, found qkv again"},
      {"qkv:rank=2", "expected r, alpha, dropout, lr, quant, labels or base, found rank"},
      {"qkv:labels=none", "expected labels=given or labels=shuffled, found none"},
      {"qkv:base=none", "expected base=given or base=random, found none"},
      {"qkv:r=two", "qkv:r=two: expected a number for r, found two"},
      {"qkv:r=010", "qkv:r=010: expected a number for r, found 010"},
      {"qkv:r=65537", "expected r from 1 to 65536, found 65537"},
      {"qkv:alpha=2e9", "alpha: expected -1e9 to 1e9, found 2e+09"},
      {"qkv:r=2,r=3", "expected each of its changes once, found r again"},
      {"qkv:", "expected a change after the :"},
      {"all:quant=nf5",
       "--arms: all:quant=nf5: quantization: expected one of none nf4 fp4 int8, found nf5"},
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
  EXPECT_FALSE(comparison.contains("null"));
  EXPECT_EQ(comparison.at("groups"), "qlora-demo/data/groups.tsv");
  EXPECT_TRUE(std::filesystem::exists(program.path("qlora-demo/data/groups.tsv")));
  EXPECT_NE(program.read("qlora-demo/study/config.toml").find("no-null = true\n"),
            std::string::npos);  // as demo.toml has it
  EXPECT_NE(outcome.out.find("qkv"), std::string::npos);
  program.refuses({"demo", "--families", "10"}, {"qlora-demo", "empty folder"});
  program.refuses({"demo", "--arms", "bogus", "--out", "other"}, {"bogus"});
  program.refuses({"demo", "--families", "10", "--groups", "none.tsv", "--out", "other"},
                  {"none.tsv", "expected a file"});
  EXPECT_FALSE(std::filesystem::exists(program.path("other")));
}

/// The settings that a study leaves say what its model is quantized to, which nobody had asked for.
TEST(Compare, GoesOnFromItsOwnSettings) {
  auto const program = Program{};
  auto const data = golden("train/data.txt");
  auto const flags = std::vector<std::string>{"compare",     "--model", golden("models/tiny_nf4"),
                                              "--train",     data,      "--test",
                                              data,          "--arms",  "head",
                                              "--seeds",     "1",       "--no-null",
                                              "--baselines", "none",    "--epochs",
                                              "1",           "--ci",    "none",
                                              "--out",       "out"};
  program.done(flags);
  auto const comparison = program.read("out/comparison.json");
  program.done({"compare", "--config", "out/config.toml", "--out", "out", "--resume"});
  EXPECT_EQ(program.read("out/comparison.json"), comparison);
}

}  // namespace
}  // namespace qlora::testing
