// A study in parts that share a folder, as an array of jobs makes them.
#include <filesystem>
#include <list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/output_folder.hpp>

#include "program.hpp"

namespace qlora::testing {
namespace {

namespace fs = std::filesystem;
using Flags = std::vector<std::string>;

Flags study(std::string const& out) {
  return quick_training("compare", out) +
         Flags{"--arms", "qkv,head", "--seeds", "2", "--ci", "none", "--baselines", "frequency"};
}

nlohmann::json found(Program const& program, std::string const& out) {
  return without_times(program.json(out + "/comparison.json"));
}

Flags sweep(std::string const& out) {
  auto const data = golden("train/data.txt");
  return {"sweep",   "--model", golden("models/odd"),
          "--train", data,      "--valid",
          data,      "--space", "s.toml",
          "--out",   out,       "--epochs",
          "1",       "--quiet"};
}

TEST(Parts, MakeTheStudyOfOneProcess) {
  auto const program = Program{};
  program.done(study("whole"));
  for (auto const* const part : {"2/3", "3/3", "1/3"}) {
    EXPECT_EQ(program.done(study("parts") + Flags{"--part", part}).out, "");
    EXPECT_FALSE(fs::exists(program.path("parts/comparison.json")));
  }
  auto const before = program.read("parts/qkv/seed-1/run.json");
  program.done(study("parts") + Flags{"--resume"});
  EXPECT_EQ(program.read("parts/qkv/seed-1/run.json"), before);
  EXPECT_EQ(found(program, "parts"), found(program, "whole"));
}

TEST(Parts, MakeTheSweepOfOneProcess) {
  auto const program = Program{};
  program.write("s.toml", "lr = [1e-3, 1e-2, 1e30]\nseeds = 2\n");
  program.done(sweep("whole"));
  for (auto const* const part : {"4/4", "2/4", "1/4"}) {
    EXPECT_EQ(program.done(sweep("parts") + Flags{"--part", part}).out, "");
    EXPECT_FALSE(fs::exists(program.path("parts/best.toml")));
  }
  EXPECT_TRUE(program.json("parts/sweep.json").at("trials").empty());
  auto const before = program.read("parts/trial-1/seed-1/outcome.json");
  program.done(sweep("parts") + Flags{"--resume"});  // and makes the third's
  EXPECT_EQ(program.read("parts/trial-1/seed-1/outcome.json"), before);
  EXPECT_EQ(without_times(program.json("parts/sweep.json")),
            without_times(program.json("whole/sweep.json")));
  EXPECT_EQ(program.read("parts/best.toml"), program.read("whole/best.toml"));

  program.write("s.toml", "lr = [1e-3, 3e-3, 1e30]\nseeds = 2\n");
  program.refuses(sweep("parts") + Flags{"--resume"}, {"its trial 2 among those of the space"});
  program.refuses(sweep("parts") + Flags{"--part", "1/4"},
                  {"its trial 2 among those of the space"});
  program.write("s.toml", program.read("parts/space.toml"));
  fs::remove(program.path("parts/trial-2/seed-1/outcome.json"));
  program.refuses(sweep("parts") + Flags{"--resume"},
                  {"parts/sweep.json: expected the outcomes of its trial 2"});
  program.write("parts/sweep.json", R"({"study": {}, "trials": []})");
  program.refuses(sweep("parts") + Flags{"--resume"}, {"sweep.json: expected the same"});
  program.write("full/something", "");
  program.refuses(sweep("full") + Flags{"--part", "1/2"}, {"full", "empty folder"});
}

TEST(Parts, OfASweepKnowWhoseOutcomesTheyFind) {
  auto const program = Program{};
  program.write("s.toml", "lr = [1e-3, 1e-2]\n");
  program.done(sweep("out") + Flags{"--part", "1/2"});
  program.write("s.toml", "lr = [2e-3, 1e-2]\n");
  fs::remove(program.path("out/space.toml"));
  program.refuses(sweep("out") + Flags{"--part", "2/2"},
                  {"out/trial-1/seed-1/outcome.json: expected the same lr to resume"});
  program.write("s.toml", "lr = [1e-3, 1e-2]\n");
  program.write("out/trial-1/seed-1/outcome.json", "{}");
  program.refuses(sweep("out") + Flags{"--part", "2/2"}, {"expected the record of a run"});
}

TEST(Parts, MayBeginAtOnce) {
  auto const program = Program{};
  program.write("s.toml", "placement = [\"qkv\", \"head\"]\nseeds = 2\n");
  for (auto const& flags : {sweep("out"), study("study")}) {
    auto parts = std::list<RunningProgram>{};
    for (auto const* const part : {"1/4", "2/4", "3/4", "4/4"}) {
      parts.emplace_back(QLORA_PROGRAM, flags + Flags{"--part", part}, program.path("."));
    }
    for (auto& part : parts) EXPECT_EQ(part.wait().status, 0);
  }
  for (auto const* const record :
       {"out/trial-1/seed-1/outcome.json", "out/trial-1/seed-2/outcome.json",
        "out/trial-2/seed-1/outcome.json", "out/trial-2/seed-2/outcome.json",
        "study/qkv/seed-1/run.json", "study/qkv/seed-2/run.json", "study/head/seed-1/run.json",
        "study/head/seed-2/run.json"}) {
    EXPECT_TRUE(fs::exists(program.path(record))) << record;
  }
}

TEST(Parts, OfASweepLeaveARunThatAnotherIsAtForLast) {
  auto const program = Program{};
  program.write("s.toml", "placement = [\"qkv\", \"head\"]\n");
  program.done(sweep("out") + Flags{"--part", "3/3"});  // none
  fs::create_directories(program.path("out/trial-1/seed-1"));
  {
    auto const other = FolderLock{program.path("out/trial-1/seed-1")};
    program.refuses(sweep("out") + Flags{"--resume"},
                    {"out/trial-1/seed-1: expected a folder of its own"});
  }
  EXPECT_TRUE(fs::exists(program.path("out/trial-2/seed-1/outcome.json")));
  program.done(sweep("out") + Flags{"--resume"});
}

/// More trials of a random search.
TEST(Parts, MayExtendASweep) {
  auto const program = Program{};
  auto const space = std::string{"lr = {low = 1e-4, high = 1e-2}\nsearch = \"random\"\ntrials = "};
  program.write("s.toml", space + "2\n");
  program.done(sweep("out"));
  program.write("s.toml", space + "3\n");
  program.done(sweep("out") + Flags{"--part", "1/2"});
  program.write("s.toml", space + "2\n");
  program.refuses(sweep("out") + Flags{"--part", "2/2"},
                  {"out/space.toml: expected the first trials of s.toml"});
  program.write("s.toml", space + "3\n");
  program.done(sweep("out") + Flags{"--resume"});
  EXPECT_EQ(program.json("out/sweep.json").at("trials").size(), 3u);
}

TEST(Parts, AreRefusedWhereTheyAreNone) {
  auto const program = Program{};
  program.write("s.toml", "rank = [1]\n");
  for (auto const* const part : {"0/3", "4/3", "2", "/", "1/x", "-1/2", "1/2/3"}) {
    program.refuses(study("out") + Flags{"--part", part}, {"--part: expected a part such as 2/8"});
  }
  program.refuses(sweep("out") + Flags{"--part", "0/3"}, {"--part: expected a part such as 2/8"});
  program.refuses(sweep("out") + Flags{"--part", ""}, {"--part", "expected a part such as 2/8"});
  program.refuses(sweep("") + Flags{"--part", "1/2"}, {"--out: expected a name"});
  program.refuses(study("out") + Flags{"--part", "1/2", "--slurm", "2"}, {"--slurm", "--part"});
  program.refuses(study("out") + Flags{"--part", "1/2", "--choose-lr", "1e-3", "--valid",
                                       golden("train/data.txt")},
                  {"--part", "--choose-lr"});
  EXPECT_FALSE(fs::exists(program.path("out")));
  program.write("full/something", "");
  program.refuses(study("full") + Flags{"--part", "1/2"}, {"full", "empty folder"});
  program.done(study("other") + Flags{"--part", "1/2"});
  program.refuses(study("other") + Flags{"--part", "2/2", "--lr", "1"}, {"lr"});
}

TEST(Parts, AreWantedOfSeveralProcessesThatDoNotFindEachOther) {
  auto const program = Program{};
  auto const launched = [&](std::string const& variable, Flags const& flags) {
    return run_program("/usr/bin/env", Flags{variable, QLORA_PROGRAM} + flags, program.path("."));
  };
  auto const refused = launched("SLURM_STEP_NUM_TASKS=8", study("out"));
  EXPECT_EQ(refused.status, 2);
  EXPECT_EQ(refused.err,
            "qlora: expected 8 processes that find each other, as SLURM_STEP_NUM_TASKS says, found "
            "one alone; start them with `srun --mpi=pmix`, or the mpirun of the MPI that qlora was "
            "built with, or unset SLURM_STEP_NUM_TASKS\n");
  EXPECT_EQ(launched("PMI_SIZE=2", quick_training("train", "out")).status, 2);
  EXPECT_FALSE(fs::exists(program.path("out")));
  EXPECT_EQ(launched("SLURM_STEP_NUM_TASKS=1", quick_training("train", "one")).status, 0);
  EXPECT_EQ(launched("SLURM_STEP_NUM_TASKS=8", study("out") + Flags{"--part", "1/8"}).status, 0);
}

/// With a Slurm that runs at once whatever it is given.
TEST(Parts, AreMadeByTheScriptForSlurm) {
  auto const program = Program{};
  program.write("bin/sbatch",
                "#!/usr/bin/env bash\n"
                "echo \"$@\" >>calls\n"
                "cat >job\n"
                "case $* in\n"
                "*--array=1-3*) for i in 1 2 3; do SLURM_ARRAY_TASK_ID=$i bash -e job || echo $i "
                ">failed; done\n"
                "  find . -name run.json -o -name outcome.json | wc -l >made; echo '7;c' ;;\n"
                "*) bash job ;;\n"
                "esac\n");
  fs::permissions(program.path("bin/sbatch"), fs::perms::owner_all);
  auto const recipe = Flags{"--recipe", "standard", "--lr", "5e-3", "--no-null=true"};
  program.done(study("whole") + recipe);
  auto const script = program.done(study("a b") + recipe + Flags{"--slurm", "3"}).out;
  EXPECT_FALSE(fs::exists(program.path("a b")));
  program.write("study.sh", script);
  auto const outcome = run_program(
      "/usr/bin/env", {"bash", "-c", "PATH=$PWD/bin:$PATH bash study.sh --partition=gpu"},
      program.path("."));
  EXPECT_EQ(outcome.status, 0) << outcome.err << script;
  EXPECT_EQ(program.read("calls"),
            "--parsable --array=1-3 --partition=gpu\n"
            "--partition=gpu --array=0 --dependency=afterany:7\n");
  EXPECT_EQ(found(program, "a b"), found(program, "whole"));
  EXPECT_EQ(std::stoi(program.read("made")), 2 * 4);  // both studies', before the report

  program.write("s.toml", "placement = [\"qkv\", \"head\"]\nseeds = 2\n");
  program.refuses(sweep("swept") + Flags{"--slurm", "3", "--space", "none"}, {"none"});
  program.write("sweep.sh", program.done(sweep("swept") + Flags{"--slurm", "3"}).out);
  auto const swept = run_program(
      "/usr/bin/env", {"bash", "-c", "PATH=$PWD/bin:$PATH bash sweep.sh"}, program.path("."));
  EXPECT_EQ(swept.status, 0) << swept.err;
  EXPECT_TRUE(fs::exists(program.path("swept/report.html")));
  EXPECT_EQ(std::stoi(program.read("made")), 2 * 4 + 4);
  EXPECT_FALSE(fs::exists(program.path("failed")));
}

}  // namespace
}  // namespace qlora::testing
