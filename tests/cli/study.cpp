// qlora compare as a study: it goes on after an interruption, chooses learning rates, has floors
// and ceilings; and the intervals of one evaluation.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

using Flags = std::vector<std::string>;

TEST(Study, GoesOnWhereItStopped) {
  auto const program = Program{};
  auto const study = [&](std::string const& out, std::string const& seeds) {
    return quick_training("compare", out) +
           Flags{"--arms", "qkv,head", "--seeds", seeds, "--valid", golden("train/data.txt")};
  };
  program.done(study("whole", "2"));
  program.done(study("part", "1"));
  auto const first = program.read("part/qkv/seed-1/run.json");
  program.write("part/qkv/seed-1/metrics.json", "untouched");
  std::filesystem::remove(program.path("part/head/seed-1/run.json"));  // as if stopped before it
  program.done(study("part", "2") + Flags{"--resume", "--threads", "1"});
  EXPECT_EQ(without_times(program.json("part/comparison.json")),
            without_times(program.json("whole/comparison.json")));
  EXPECT_EQ(program.read("part/qkv/seed-1/metrics.json"), "untouched");
  // What clocks say apart, the report of a study that was interrupted is that of one that was not.
  auto const until_cost = [&](std::string const& out) {
    auto const page = program.read(out + "/report.html");
    return page.substr(0, page.find("<h2>Cost</h2>"));
  };
  EXPECT_EQ(until_cost("part"), until_cost("whole"));
  for (auto const* const figure : {"Differences from qkv", "ROC", "Calibration", "Training loss",
                                   "Test average precision after each epoch", "Train and test"}) {
    EXPECT_NE(until_cost("whole").find(figure), std::string::npos) << figure;
  }
  EXPECT_EQ(program.read("part/qkv/seed-1/run.json"), first);
  EXPECT_EQ(program.read("part/head/seed-1/adapter_model.safetensors"),
            program.read("whole/head/seed-1/adapter_model.safetensors"));

  auto const resumed = study("part", "2") + Flags{"--resume"};
  auto const config = program.read("part/config.toml");
  program.refuses(quick_training("compare", "part") + Flags{"--arms", "qkv,head", "--resume"},
                  {"expected the same valid to resume, found one where none is given now"});
  program.refuses(resumed + Flags{"--lr", "0.5"},
                  {"/run.json: expected the same lr to resume, found another"});
  program.write("other.txt", ">p\nMKV\n010\n");
  program.refuses(resumed + Flags{"--train", "other.txt"}, {"the same train to resume"});
  EXPECT_EQ(program.read("part/config.toml"), config);
  auto changed = program.json("part/qkv/seed-1/run.json");
  for (auto const* const part : {"metrics", "groups", "curves", "xxh3"}) {
    auto damaged = changed;
    damaged.erase(part);
    program.write("part/qkv/seed-1/run.json", damaged.dump());
    program.refuses(resumed, {"run.json: expected its checksum, found "});
  }
  program.refuses(study("part", "2"), {"part", "expected an empty folder", "--resume goes on"});
  program.write("other/config.toml", "epochs = 2\n");  // of another command
  program.refuses(study("other", "2") + Flags{"--resume"}, {"other", "expected an empty folder"});
}

TEST(Study, ChoosesALearningRateForEachArmOnValid) {
  auto const program = Program{};
  auto const study =
      quick_training("compare", "study") + Flags{"--arms",    "qkv:r=1,head:lr=0.02", "--seeds",
                                                 "1",         "--choose-lr",          "1e-6,0.01",
                                                 "--no-null", "--baselines",          "none"};
  program.refuses(study, {"--choose-lr: expected --valid beside it"});
  auto const outcome = program.done(study + Flags{"--valid", golden("train/data.txt")});
  auto const comparison = program.json("study/comparison.json");
  auto const& rates = comparison.at("learning_rates");
  ASSERT_EQ(rates.size(), 2u);  // the head has its own
  auto const better =
      rates[1].at("valid_average_precision") > rates[0].at("valid_average_precision");
  EXPECT_EQ(rates[1].at("chosen"), better);
  EXPECT_EQ(rates[0].at("chosen"), !better);
  auto const name = std::string{"qkv:r=1,lr="} + (better ? "0.01" : "1e-6");
  EXPECT_EQ(comparison.at("arms").at(0).at("name"), name);
  EXPECT_EQ(comparison.at("arms").at(1).at("name"), "head:lr=0.02");
  EXPECT_NE(outcome.out.find("chosen"), std::string::npos) << outcome.out;
  EXPECT_TRUE(std::filesystem::exists(program.path("study/qkv-r1-lr1e-6/seed-3/run.json")));
  auto loud = quick_training("compare", "loud") +
              Flags{"--arms",      "qkv:r=1",     "--seeds",
                    "1",           "--choose-lr", "1e-6,0.01",
                    "--no-null",   "--valid",     golden("train/data.txt"),
                    "--baselines", "none"};
  std::erase(loud, "--quiet");
  auto const said = program.done(loud).err;
  EXPECT_NE(
      said.find(better ? "qkv:r=1 took 0.01, the largest" : "qkv:r=1 took 1e-06, the smallest"),
      std::string::npos)
      << said;
  for (auto const* const rates_given : {"1e-3,0", "0.001,1e-3", "fast"}) {
    program.refuses(quick_training("compare", "other") + Flags{"--choose-lr", rates_given},
                    {"--choose-lr: expected different numbers above 0"});
  }
}

TEST(Study, HasARandomBaseAsFloorAndTheTruthAsCeiling) {
  auto const program = Program{};
  program.done({"synth", "--out", "corpus", "--families", "8", "--members", "2", "--hidden-percent",
                "40", "--quiet"});
  auto const outcome =
      program.done({"compare", "--model", golden("models/odd"), "--train", "corpus/train.txt",
                    "--test", "corpus/test.txt", "--out", "study", "--epochs", "1", "--arms",
                    "head,head:base=random", "--seeds", "1", "--no-null"});
  EXPECT_NE(outcome.err.find("its weights are not used, but random ones"), std::string::npos);
  auto const comparison = program.json("study/comparison.json");
  auto const& truth = comparison.at("baselines").at(3);
  EXPECT_EQ(truth.at("name"), "truth");
  auto const& confusion = truth.at("metrics").at("test").at("confusion");
  EXPECT_EQ(confusion.at("fn"), 0);
  // All sites are found, and those that the labels hide count as errors.
  auto const hidden = confusion.at("fp").get<double>();
  auto const sites = hidden + confusion.at("tp").get<double>();
  EXPECT_NEAR(hidden / sites, .4, .15);
  EXPECT_NEAR(truth.at("metrics").at("test").at("precision").get<double>(), 1 - hidden / sites,
              1e-12);

  auto const adapter = std::string{"study/head-baserandom/seed-1"};
  auto const& random = comparison.at("arms").at(1).at("runs").at(0).at("metrics").at("test");
  EXPECT_NE(random, comparison.at("arms").at(0).at("runs").at(0).at("metrics").at("test"));
  EXPECT_EQ(program.json(adapter + "/qlora.json").at("base"), "random");
  // The adapter is read on the base that it was trained on.
  program.done({"evaluate", "--model", golden("models/odd"), "--adapter", adapter, "--data",
                "corpus/test.txt", "--out", "metrics.json", "--seed", "9", "--ci", "none"});
  EXPECT_EQ(program.json("metrics.json").at("loss"), random.at("loss"));

  program.refuses(
      {"merge", "--model", golden("models/odd"), "--adapter", adapter, "--out", "merged"},
      {adapter, "expected an adapter of the model's own weights"});
  program.refuses({"train", "--model", golden("models/odd"), "--init-adapter", adapter, "--out",
                   "merged", "--train", "corpus/train.txt", "--quiet"},
                  {adapter, "expected an adapter of the model's own weights"});

  std::filesystem::remove_all(program.path("corpus/truth"));
  program.refuses(
      {"compare", "--model", golden("models/odd"), "--train", "corpus/train.txt", "--test",
       "corpus/test.txt", "--out", "other", "--baselines", "truth", "--quiet"},
      {"truth/train.txt"});
  EXPECT_FALSE(std::filesystem::exists(program.path("other")));
}

TEST(Evaluate, GivesIntervalsOverGroupsOrProteins) {
  auto const program = Program{};
  program.done({"synth", "--out", "corpus", "--families", "8", "--members", "2", "--quiet"});
  auto const evaluate =
      Flags{"evaluate", "--model",      golden("models/odd"), "--data", "corpus/test.txt",
            "--out",    "metrics.json", "--resamples",        "50"};
  auto const outcome = program.done(evaluate);
  EXPECT_NE(outcome.out.find("95 % intervals: 50 times 2 drawn of 2 groups of corpus/groups.tsv"),
            std::string::npos)
      << outcome.out;
  auto const metrics = program.json("metrics.json");
  auto const& intervals = metrics.at("intervals");
  EXPECT_EQ(intervals.at("ci"), "cluster");
  EXPECT_EQ(intervals.at("groups"), 2);
  EXPECT_EQ(intervals.at("resamples"), 50);
  for (auto const* const name : {"loss", "roc_auc", "average_precision", "prevalence"}) {
    auto const& interval = intervals.at("metrics").at(name);
    EXPECT_LE(interval.at(0), metrics.at(name)) << name;
    EXPECT_LE(metrics.at(name), interval.at(1)) << name;
    EXPECT_LT(interval.at(0), interval.at(1)) << name;
  }
  program.done(evaluate + Flags{"--ci", "protein"});
  auto const by_protein = program.json("metrics.json").at("intervals");
  EXPECT_EQ(by_protein.at("ci"), "protein");
  EXPECT_EQ(by_protein.at("groups"), 4);
  program.done(evaluate + Flags{"--ci", "none"});
  EXPECT_FALSE(program.json("metrics.json").contains("intervals"));

  program.done(quick_training("train", "run") + Flags{"--resamples", "20"});
  auto const trained = program.json("run/metrics.json");
  for (auto const* const split : {"train", "test"}) {
    EXPECT_EQ(trained.at(split).at("intervals").at("groups"), 30) << split;
    EXPECT_EQ(trained.at(split).at("intervals").at("ci"), "protein") << split;
  }
}

}  // namespace
}  // namespace qlora::testing
