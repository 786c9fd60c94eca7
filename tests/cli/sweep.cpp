// qlora sweep: spaces, the trials that come of them, and what is said of them.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

/// Of a space in `space.toml`, into that folder.
std::vector<std::string> quick_sweep(std::string const& out) {
  return {"sweep",
          "--model",
          golden("models/odd"),
          "--train",
          golden("train/data.txt"),
          "--valid",
          golden("train/data.txt"),
          "--space",
          "space.toml",
          "--out",
          out,
          "--epochs",
          "1",
          "--batch-sequences",
          "12",
          "--quiet"};
}

TEST(Sweep, JudgesByTheMeanOverGroups) {
  auto const program = Program{};
  program.write("space.toml", "placement = [\"head\"]\nmetric = \"average_precision_by_group\"\n");
  program.done(quick_sweep("found"));
  auto const sweep = program.json("found/sweep.json");
  EXPECT_EQ(sweep.at("metric"), "average_precision_by_group");
  auto const run = sweep.at("trials").at(0).at("runs").at(0);
  auto const folder = "found/" + run.at("folder").get<std::string>();
  EXPECT_GT(run.at("value"), 0.);
  EXPECT_NE(run.at("value"),
            program.json(folder + "/metrics.json").at("valid").at("average_precision"));
}

TEST(Sweep, RunsEveryCombinationWithEverySeed) {
  auto const program = Program{};
  program.write("space.toml",
                "placement = [\"qkv\", \"head\"]  # factors\nlr = [1e-3, 2e-2,]\nseeds = 2\n");
  auto const outcome = program.done(quick_sweep("found") + std::vector<std::string>{"--seed", "5"});
  auto const sweep = program.json("found/sweep.json");
  EXPECT_EQ(sweep.at("metric"), "average_precision");
  auto const& trials = sweep.at("trials");
  ASSERT_EQ(trials.size(), 4u);
  EXPECT_EQ(trials[1].at("settings"), (nlohmann::json{{"placement", "qkv"}, {"lr", 0.02}}));
  EXPECT_EQ(trials[2].at("settings"), (nlohmann::json{{"placement", "head"}, {"lr", 0.001}}));
  auto best = 0.;
  for (auto const& trial : trials) {
    auto mean = 0.;
    ASSERT_EQ(trial.at("runs").size(), 2u);
    for (auto const& run : trial.at("runs")) {
      auto const metrics =
          program.json("found/" + run.at("folder").get<std::string>() + "/metrics.json");
      EXPECT_FALSE(metrics.contains("test"));
      EXPECT_EQ(run.at("value"), metrics.at("valid").at("average_precision"));
      mean += run.at("value").get<double>() / 2.;
    }
    EXPECT_NEAR(trial.at("mean").get<double>(), mean, 1e-15);
    best = std::max(best, mean);
  }
  auto const winner = sweep.at("best").get<std::size_t>();
  EXPECT_NEAR(trials.at(winner - 1).at("mean").get<double>(), best, 1e-15);

  // The parts of the variance are all of it.
  auto const& effects = sweep.at("effects");
  EXPECT_EQ(effects.at("method"), "anova");
  auto sum = effects.at("interactions").get<double>() + effects.at("seeds").get<double>();
  for (auto const& factor : effects.at("factors")) sum += factor.at("share").get<double>();
  EXPECT_NEAR(sum, 1., 1e-12);
  EXPECT_NE(outcome.out.find(" of the variance, "), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("4 trials x 2 seeds"), std::string::npos) << outcome.out;

  auto const report = program.read("found/report.html");
  for (auto const* const part :
       {"Trials, the best first", "What decides", "placement", "What a run takes", "seeds = 2",
        "qlora sweep --config found/config.toml --out again"}) {
    EXPECT_NE(report.find(part), std::string::npos) << part;
  }

  auto const rows = cells(program.read("found/sweep.csv"), ',');
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0], (std::vector<std::string>{"trial", "placement", "lr", "status", "mean",
                                               "deviation", "seconds", "seed_5", "seed_6"}));
  EXPECT_EQ(std::stod(rows[2][8]), trials[1].at("runs")[1].at("value").get<double>());

  // A run is what `train` does with its flags; the best's are for other commands too.
  program.done({"train", "--config", "found/trial-2/seed-6/config.toml", "--out", "again"});
  EXPECT_EQ(program.read("again/adapter_model.safetensors"),
            program.read("found/trial-2/seed-6/adapter_model.safetensors"));
  for (auto const* const command : {"train", "compare"}) {
    program.done({command, "--config", "found/best.toml", "--model", golden("models/odd"),
                  "--train", golden("train/data.txt"), "--test", golden("train/data.txt"), "--out",
                  command, "--quiet"});
  }
  auto const settings = program.read("train/config.toml");
  EXPECT_NE(settings.find(program.read("found/best.toml").substr(0, 20)), std::string::npos);
  program.refuses(quick_sweep("found"), {"found", "expected an empty folder"});
}

TEST(Sweep, DrawsTheSameTrialsAgain) {
  auto const program = Program{};
  program.write("space.toml",
                "rank = {low = 1, high = 4}\nlr = {low = 1e-4, high = 1e-2, scale = \"log\"}\n"
                "dropout = [0, 0.5]\nalpha_over_rank = [0.5, 2]\n"
                "search = \"random\"\ntrials = 5\nmetric = \"loss\"\n");
  auto const settings = [&](std::string const& out, std::string const& seed) {
    program.done(quick_sweep(out) + std::vector<std::string>{"--seed", seed});
    auto list = std::vector<nlohmann::json>{};
    auto const sweep = program.json(out + "/sweep.json");
    for (auto const& trial : sweep.at("trials")) {
      list.push_back(trial.at("settings"));
    }
    return list;
  };
  auto const drawn = settings("a", "1");
  EXPECT_EQ(settings("b", "1"), drawn);
  EXPECT_NE(settings("c", "2"), drawn);
  ASSERT_EQ(drawn.size(), 5u);
  EXPECT_EQ((std::set<nlohmann::json>{drawn.begin(), drawn.end()}).size(), 5u);
  for (auto i = std::size_t{0}; i < drawn.size(); ++i) {
    auto const rank = drawn[i].at("rank").get<int>();
    EXPECT_TRUE(rank >= 1 && rank <= 4) << rank;
    auto const rate = drawn[i].at("lr").get<double>();
    EXPECT_TRUE(rate >= 1e-4 && rate <= 1e-2) << rate;
    auto const adapter =
        program.json("a/trial-" + std::to_string(i + 1) + "/seed-1/adapter_config.json");
    EXPECT_EQ(adapter.at("r"), rank);
    EXPECT_EQ(adapter.at("lora_alpha"), drawn[i].at("alpha_over_rank").get<double>() * rank);
  }
  auto const sweep = program.json("a/sweep.json");
  auto lowest = 1e9;
  for (auto const& trial : sweep.at("trials")) {
    lowest = std::min(lowest, trial.at("mean").get<double>());
  }
  EXPECT_EQ(sweep.at("trials").at(sweep.at("best").get<std::size_t>() - 1).at("mean"), lowest);
  EXPECT_EQ(sweep.at("effects").at("method"), "one-way");
}

TEST(Sweep, GoesOnAfterATrialThatDiverges) {
  auto const program = Program{};
  program.write("space.toml", "lr = [1e30, 1e-3]\nrank = [1, 2]\n");
  auto const outcome = program.done(quick_sweep("found"));
  EXPECT_NE(outcome.out.find("without 2 that diverged"), std::string::npos) << outcome.out;
  auto const sweep = program.json("found/sweep.json");
  EXPECT_EQ(sweep.at("trials")[0].at("status"), "diverged");
  EXPECT_TRUE(sweep.at("trials")[0].at("mean").is_null());
  EXPECT_EQ(sweep.at("trials")[2].at("status"), "done");
  EXPECT_GE(sweep.at("best"), 3);

  program.write("space.toml", "lr = [1e30]\n");
  auto const none = program.run(quick_sweep("none"));
  EXPECT_EQ(none.status, 1);
  EXPECT_NE(none.err.find("expected a trial that does not diverge"), std::string::npos);
  EXPECT_TRUE(program.json("none/sweep.json").at("best").is_null());
  EXPECT_FALSE(std::filesystem::exists(program.path("none/best.toml")));
}

TEST(Sweep, IsResumedAfterTheTrialsThatItHas) {
  auto const program = Program{};
  auto const space = [&](int trials) {
    program.write(
        "space.toml",
        "lr = {low = 1e-4, high = 1e-2, scale = \"log\"}\nsearch = \"random\"\nseeds = 2\n"
        "trials = " +
            std::to_string(trials) + "\n");
  };
  space(3);
  program.done(quick_sweep("whole"));
  space(2);
  auto const resumed = quick_sweep("part") + std::vector<std::string>{"--resume"};
  program.done(resumed);  // of nothing
  program.write("part/trial-1/seed-1/metrics.json", "untouched");
  space(3);
  program.done(resumed + std::vector<std::string>{"--threads", "1"});
  EXPECT_EQ(program.read("part/trial-1/seed-1/metrics.json"), "untouched");
  EXPECT_EQ(without_times(program.json("part/sweep.json")),
            without_times(program.json("whole/sweep.json")));
  EXPECT_EQ(program.read("part/best.toml"), program.read("whole/best.toml"));
  EXPECT_EQ(program.read("part/space.toml"), program.read("space.toml"));

  program.refuses(resumed + std::vector<std::string>{"--epochs", "2"},
                  {"part/sweep.json: expected the same epochs to resume"});
  program.refuses(resumed + std::vector<std::string>{"--seed", "2"}, {"the same seed to resume"});
  space(2);
  program.refuses(resumed, {"expected its trial 3 among those of the space"});
  program.write("part/sweep.json", "{}");
  program.refuses(resumed, {"part/sweep.json: expected the trials of a sweep"});
  std::filesystem::remove(program.path("part/sweep.json"));
  program.refuses(resumed, {"part", "expected an empty folder"});
}

TEST(Sweep, RefusesSpacesThatAreNone) {
  auto const program = Program{};
  auto const random = std::string{"search = \"random\"\ntrials = 3\n"};
  auto many = std::string{};
  auto keys = std::string{};
  for (auto i = 10'001; many.size() < 900'000; ++i) {
    many.append(std::to_string(i)).append(", ");
    if (keys.size() < 900'000) keys.append("a").append(std::to_string(i)).append(" = 1, ");
  }
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"ranks = [2]", ":1: unknown key \"ranks\"; expected placement, quant, rank, alpha"},
      {"seeds = 2", ": expected at least one flag to sweep, found none"},
      {"", "space.toml: expected `flag = value` on a line, found none"},
      {"rank = [2]\nrank = [3]", ":2: duplicate key \"rank\""},
      {"rank = 2", ":1: rank: expected an array of values or a table {low, high, scale}, found 2"},
      {"rank = []", ":1: rank: expected at least one value, found none"},
      {"rank = [2, 2]", ":1: rank: expected each value once, found 2 again"},
      {"lr = [1e-2, 0.01]", ":1: lr: expected each value once, found 0.01 again"},
      {"rank = [\"2\"]", ":1: rank: expected numbers, found 2"},
      {"rank = [0]", ":1: rank: expected 1 to 65536, found 0"},
      {"rank = [2.5]", ":1: rank: expected an integer, found 2.5"},
      {"rank = [2", ":1: expected , or ] on the same line, found nothing"},
      {"rank = [[2]]", ":1: expected a string in quotes, a number, true or false, found [2"},
      {"lr = [true]", ":1: lr: expected numbers, found true"},
      {"lr = [-1]", ":1: lr: learning_rate: expected a finite number, at least 0, found -1"},
      {"lr = [inf]", ":1: lr: expected a finite number, found inf"},
      {"dropout = [1]", ":1: dropout: expected at least 0 and less than 1, found 1"},
      {"placement = [\"qvk\"]", ":1: placement: expected one of qkv all card head, found qvk"},
      {"placement = {low = 1, high = 2}", ":1: placement: expected an array of values, found a"},
      {"quant = [\"nf5\"]", "expected one of none nf4 fp4 int8, found nf5"},
      {"alpha = [1]\nalpha_over_rank = [1]", ":2: alpha_over_rank: expected no alpha beside it"},
      {"lr = {low = 1, high = 2}", ":1: lr: expected an array of values in a grid, found a range"},
      {"rank = [2]\ntrials = 3", ":2: trials: expected them of a random search only"},
      {"rank = [2]\nsearch = \"random\"", ": expected `trials = N` for a random search"},
      {"rank = [2]\nsearch = \"best\"", ":2: search: expected grid or random, found best"},
      {"rank = [2]\nseeds = 0", ":2: seeds: expected an integer from 1 to 1000, found 0"},
      {"rank = [2]\nmetric = \"f2\"", ":2: metric: metrics: expected one of loss"},
      {random + "rank = [2, 3]", ":2: trials: expected at most 2, as many as there are different"},
      {random + "rank = {low = 2, high = 3}", ":2: trials: expected at most 2"},
      {"search = \"random\"\ntrials = 10000\nrank = [2, 3]", ":2: trials: expected at most 2"},
      {"lr = [" + many + "1]", ":1: lr: expected at most 10000 values, found 1"},
      {"lr = {" + keys + "b = 1}", ":1: lr: expected low, high and scale, found a10001"},
      {random + "lr = {low = 1}", ":3: lr: expected low and high"},
      {random + "lr = {low = 2, high = 1}", ":3: lr: expected low below high"},
      {random + "lr = {low = 0, high = 1, scale = \"log\"}", ":3: lr: expected low above 0"},
      {random + "lr = {low = 0, high = 1, scale = \"square\"}", "expected log or linear"},
      {random + "lr = {low = 0, low = 1}", ":3: duplicate key \"low\""},
      {random + "lr = {low = 0, high = 1, step = 1}", "expected low, high and scale, found step"},
      {random + "rank = {low = 1.5, high = 3}", ":3: rank: expected an integer, found 1.5"}};
  for (auto const& [text, expected] : cases) {
    program.write("space.toml", text);
    program.refuses(quick_sweep("found"), {"space.toml", expected});
  }
  program.write("space.toml", "rank = [2]\n");
  program.write("one.txt", ">a\nMKV\n000\n");
  program.refuses(quick_sweep("found") + std::vector<std::string>{"--valid", "one.txt"},
                  {"one.txt: expected residues of both classes"});
  program.done({"quantize", "--model", golden("models/odd"), "--quant", "int8", "--out", "small"});
  program.write("space.toml", "quant = [\"int8\", \"none\"]\n");
  program.refuses(quick_sweep("found") + std::vector<std::string>{"--model", "small"},
                  {"space.toml: quant: cannot be swept: small is stored as int8"});
  EXPECT_FALSE(std::filesystem::exists(program.path("found")));
}

}  // namespace
}  // namespace qlora::testing
