// Thresholds and calibration: chosen on the validation split, kept with the adapter, used by
// predict.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

std::vector<std::vector<std::string>> predicted(Program const& program, std::string const& adapter,
                                                std::vector<std::string> const& more,
                                                std::string const& said) {
  auto const outcome =
      program.done(std::vector<std::string>{"predict", "--model", golden("models/odd"), "--adapter",
                                            adapter, "--fasta", golden("train/data.txt"), "--out",
                                            "sites.tsv", "--logits"} +
                   more);
  EXPECT_NE(outcome.err.find(said), std::string::npos) << outcome.err << " lacks " << said;
  return cells(program.read("sites.tsv"), '\t');
}

TEST(Threshold, TravelsWithTheAdapter) {
  auto const program = Program{};
  program.done(quick_training("train", "run") +
               std::vector<std::string>{"--valid", golden("train/data.txt"), "--lr", "1e-2"});
  auto const stored = program.json("run/qlora.json");
  auto const margin = stored.at("threshold").at("margin").get<double>();
  EXPECT_EQ(stored.at("threshold").at("metric"), "mcc");
  EXPECT_NEAR(stored.at("threshold").at("probability").get<double>(), 1 / (1 + std::exp(-margin)),
              1e-9);
  EXPECT_EQ(stored.at("calibration").at("method"), "platt");
  // Test is the file that the threshold was chosen on, so that it is best there.
  auto const test = program.json("run/metrics.json").at("test");
  EXPECT_EQ(test.at("at_valid_threshold").at("mcc"), stored.at("threshold").at("valid"));
  EXPECT_GE(test.at("at_valid_threshold").at("mcc"), test.at("mcc"));
  EXPECT_LT(test.at("calibrated").at("log_loss"), test.at("loss_unweighted"));

  auto const rows = predicted(program, "run", {"--calibrated"}, "the adapter's own threshold");
  EXPECT_EQ(rows[0].back(), "p_site");
  auto const slope = stored.at("calibration").at("slope").get<double>();
  auto const intercept = stored.at("calibration").at("intercept").get<double>();
  auto sites = 0;
  for (auto i = std::size_t{1}; i < rows.size(); ++i) {
    auto const own = std::stof(rows[i][6]) - std::stof(rows[i][5]);
    EXPECT_EQ(rows[i][4], own >= margin ? "1" : "0");
    EXPECT_NEAR(std::stod(rows[i][7]), 1 / (1 + std::exp(-(slope * own + intercept))), 1e-6);
    sites += rows[i][4] == "1" ? 1 : 0;
  }
  EXPECT_GT(sites, 0);

  auto const given = predicted(program, "run", {"--threshold", "0.5"}, "--threshold 0.5");
  for (auto i = std::size_t{1}; i < given.size(); ++i) {
    EXPECT_EQ(given[i][4], std::stof(given[i][6]) >= std::stof(given[i][5]) ? "1" : "0");
  }
}

TEST(Ensemble, AveragesAdaptersAndShowsTheirSpread) {
  auto const program = Program{};
  for (auto const* const seed : {"1", "2", "3"}) {
    program.done(quick_training("train", seed) +
                 std::vector<std::string>{"--seed", seed, "--valid", golden("train/data.txt")});
  }
  auto members = std::vector<std::vector<std::vector<std::string>>>{};
  for (auto const* const seed : {"1", "2", "3"}) {
    members.push_back(predicted(program, seed, {}, "own threshold"));
  }
  auto const rows = predicted(program, "1", {"--ensemble", "2,3"}, "those of most adapters");
  EXPECT_EQ(rows[0].back(), "spread");
  for (auto i = std::size_t{1}; i < rows.size(); ++i) {
    auto mean = 0., squares = 0.;
    auto votes = 0;
    for (auto const& member : members) {
      auto const p = std::stod(member[i][3]);
      mean += p / 3;
      squares += p * p;
      votes += member[i][4] == "1" ? 1 : 0;
    }
    EXPECT_NEAR(std::stod(rows[i][3]), mean, 1e-6);
    EXPECT_NEAR(std::stod(rows[i][7]), std::sqrt(std::max(0., squares - 3 * mean * mean) / 2),
                1e-3);
    EXPECT_EQ(rows[i][4], votes > 1 ? "1" : "0");
  }
  program.refuses({"predict", "--model", golden("models/odd"), "--fasta", golden("train/data.txt"),
                   "--out", "sites.tsv", "--quiet", "--ensemble", "2"},
                  {"--ensemble: expected --adapter beside it"});
}

TEST(Threshold, IsTheArgmaxWithoutValidationData) {
  auto const program = Program{};
  program.done(quick_training("train", "run"));
  auto const stored = program.json("run/qlora.json");
  EXPECT_FALSE(stored.contains("threshold"));
  EXPECT_EQ(stored.at("calibration").at("method"), "prior_correction");
  auto const weights = stored.at("class_weights").get<std::vector<double>>();
  auto const rows = predicted(program, "run", {"--calibrated"}, "the argmax");
  auto const own = std::stod(rows[1][6]) - std::stod(rows[1][5]);
  EXPECT_NEAR(std::stod(rows[1][7]), 1 / (1 + weights[1] / weights[0] * std::exp(-own)), 1e-6);
  program.refuses({"predict", "--model", golden("models/odd"), "--fasta", golden("train/data.txt"),
                   "--out", "sites.tsv", "--quiet", "--calibrated"},
                  {"--calibrated: expected a calibration"});
  program.write("run/qlora.json", R"({"threshold": 0.5})");
  program.refuses({"predict", "--model", golden("models/odd"), "--adapter", "run", "--fasta",
                   golden("train/data.txt"), "--out", "sites.tsv", "--quiet"},
                  {"run/qlora.json", "threshold: expected an object, found 0.5"});
}

}  // namespace
}  // namespace qlora::testing
