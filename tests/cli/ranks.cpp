// Processes that mpirun starts together do what one does.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

#if defined(QLORA_MPIRUN)

#include "support/mpirun.hpp"

namespace qlora::testing {
namespace {

namespace fs = std::filesystem;
using Flags = std::vector<std::string>;

Outcome run_ranks(Program const& program, int ranks, Flags const& arguments) {
  return mpirun(ranks, QLORA_PROGRAM, arguments, program.path("."));
}

Outcome done(Program const& program, int ranks, Flags const& arguments) {
  auto outcome = run_ranks(program, ranks, arguments);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  return outcome;
}

Flags quick_run(std::string const& out) {
  return quick_training("train", out) +
         Flags{"--valid",  golden("train/data.txt"), "--dropout", "0.3",
               "--select", "average_precision",      "--ci",      "none"};
}

std::vector<double> losses(Program const& program, std::string const& out) {
  auto values = std::vector<double>{};
  for (auto const& row : cells(program.read(out + "/history.csv"), ',')) {
    if (row.at(0) != "step" && !row.at(2).empty()) values.push_back(std::stod(row.at(2)));
  }
  return values;
}

TEST(Ranks, TrainAsOneDoes) {
  auto const program = Program{};
  program.done(quick_run("alone"));
  auto const expected = losses(program, "alone");
  ASSERT_GE(expected.size(), 10u);
  for (auto const ranks : {2, 3}) {
    auto const out = std::to_string(ranks);
    done(program, ranks, quick_run(out));
    auto const found = losses(program, out);
    ASSERT_EQ(found.size(), expected.size());
    for (auto i = std::size_t{0}; i < expected.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-6) << out << " ranks, step " << i + 1;
    }
  }
}

TEST(Ranks, LeaveTheSameBitsAgainAndAfterAStop) {
  auto const program = Program{};
  auto const often = Flags{"--checkpoint-every", "3", "--keep-checkpoints", "9"};
  done(program, 2, quick_run("whole") + often);
  done(program, 2, quick_run("again"));
  fs::create_directories(program.path("resumed/checkpoints"));
  auto const third = std::string{"/checkpoints/step-000000000003.safetensors"};
  fs::copy_file(program.path("whole" + third), program.path("resumed" + third));
  fs::copy(program.path("resumed"), program.path("alone"), fs::copy_options::recursive);
  done(program, 2, quick_run("resumed") + Flags{"--resume"});
  for (auto const* const file : {"adapter_model.safetensors", "metrics.json", "qlora.json"}) {
    auto const expected = program.read(std::string{"whole/"} + file);
    EXPECT_EQ(program.read(std::string{"again/"} + file), expected) << file;
    EXPECT_EQ(program.read(std::string{"resumed/"} + file), expected) << file;
  }
  EXPECT_EQ(program.json("whole/qlora.json").at("ranks"), nlohmann::json({2}));
  // Another number of them goes on, and says so whenever it does: the result stays of both.
  auto const go_on = quick_run("alone") + often + Flags{"--resume"};
  EXPECT_EQ(program.done(go_on).err,
            "the checkpoint is of 2 processes, and there are 1: sums may differ in their last bits "
            "from those of an uninterrupted run\n");
  fs::remove(program.path("alone/qlora.json"));
  EXPECT_NE(program.done(go_on).err.find("of 2, then 1 processes, and there are 1: "),
            std::string::npos);
  EXPECT_EQ(program.json("alone/qlora.json").at("ranks"), nlohmann::json({2, 1}));
}

TEST(Ranks, ShareTheRunsOfAStudy) {
  auto const program = Program{};
  auto const study = [](std::string const& out) {
    return quick_training("compare", out) + Flags{"--valid",     golden("train/data.txt"),
                                                  "--arms",      "qkv,head",
                                                  "--seeds",     "2",
                                                  "--choose-lr", "1e-3,1e-2",
                                                  "--ci",        "none"};
  };
  program.done(study("alone"));
  done(program, 3, study("shared"));
  EXPECT_EQ(without_times(program.json("shared/comparison.json")),
            without_times(program.json("alone/comparison.json")));
  EXPECT_TRUE(fs::exists(program.path("shared/report.html")));
}

TEST(Ranks, ShareTheTrialsOfASweep) {
  auto const program = Program{};
  program.write("space.toml", "lr = [1e-3, 1e-2, 1e30]\nseeds = 2\n");
  auto const sweep = [](std::string const& out) {
    auto const data = golden("train/data.txt");
    return Flags{"sweep", "--model", golden("models/odd"), "--train", data, "--valid",
                 data,    "--space", "space.toml",         "--out",   out,  "--epochs",
                 "1",     "--quiet"};
  };
  program.done(sweep("alone"));
  done(program, 3, sweep("shared"));  // whose turns end within a trial
  EXPECT_EQ(without_times(program.json("shared/sweep.json")),
            without_times(program.json("alone/sweep.json")));
  EXPECT_EQ(program.read("shared/best.toml"), program.read("alone/best.toml"));
  EXPECT_TRUE(fs::exists(program.path("shared/report.html")));
  auto const before = program.read("shared/trial-2/seed-1/outcome.json");
  fs::remove_all(program.path("shared/trial-3"));
  auto record = program.json("shared/sweep.json");
  record["trials"].erase(2);
  program.write("shared/sweep.json", record.dump());
  done(program, 2, sweep("shared") + Flags{"--resume"});
  done(program, 3, sweep("shared") + Flags{"--resume"});  // of nothing
  EXPECT_EQ(program.read("shared/trial-2/seed-1/outcome.json"), before);
  EXPECT_EQ(without_times(program.json("shared/sweep.json")),
            without_times(program.json("alone/sweep.json")));
}

TEST(Ranks, SayOnceWhatIsWrong) {
  auto const program = Program{};
  auto const outcome = run_ranks(program, 3, quick_run("out") + Flags{"--train", "nothing.txt"});
  EXPECT_EQ(outcome.status, 2);
  auto const first = outcome.err.find("qlora: nothing.txt: ");
  ASSERT_NE(first, std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("qlora: ", first + 1), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(program.path("out")));
  program.write("full/something", "");  // which the first alone looks for
  auto const full = run_ranks(program, 2, quick_run("full"));
  EXPECT_EQ(full.status, 2);
  EXPECT_NE(full.err.find("qlora: full: expected an empty folder"), std::string::npos) << full.err;
  auto const predict = run_ranks(program, 2, {"predict", "--out", "out"});
  EXPECT_EQ(predict.status, 2);
  EXPECT_NE(predict.err.find("predict: expected one process, found 2"), std::string::npos);
}

}  // namespace
}  // namespace qlora::testing

#endif
