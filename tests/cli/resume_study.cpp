// Runs of studies and sweeps go on, too.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "resumed.hpp"

namespace qlora::testing {
namespace {

TEST(Resume, GoesOnWithinARunOfAStudy) {
  auto const program = Program{};
  auto const data = golden("train/data.txt");
  auto const study_flags = [&](std::string const& out, Flags const& further) {
    auto flags = Flags{"compare",
                       "--model",
                       golden("models/odd"),
                       "--train",
                       data,
                       "--test",
                       data,
                       "--arms",
                       "qkv,head",
                       "--seeds",
                       "1",
                       "--epochs",
                       "2",
                       "--batch-sequences",
                       "2",
                       "--no-null",
                       "--baselines",
                       "none",
                       "--out",
                       out};
    flags.insert(flags.end(), further.begin(), further.end());
    return flags;
  };
  auto const study = [&](std::string const& out, Flags const& further) {
    return program.done(study_flags(out, further));
  };
  study("whole", {"--checkpoint-every", "5", "--keep-checkpoints", "100"});
  auto const all = checkpoints(program, "whole/qkv/seed-1");
  ASSERT_EQ(all.size(), 6u);  // 15 steps an epoch
  for (auto const i : {1u, 2u, 3u, 5u}) {
    auto const name = "again-" + std::to_string(i);
    cut_off(program, name + "/qkv/seed-1", all[i]);
    program.write(name + "/config.toml", program.read("whole/config.toml"));
    auto const outcome = study(name, {"--resume"});
    EXPECT_NE(outcome.err.find("resumes after step " + std::to_string(5 * i + 5) + "\n"),
              std::string::npos)
        << outcome.err;
    expect_same(program, "whole/qkv/seed-1", name + "/qkv/seed-1");
    expect_same(program, "whole/head/seed-1", name + "/head/seed-1");
    for (auto const* const part : {"metrics", "groups", "epochs", "curves", "steps", "tokens"}) {
      EXPECT_EQ(program.json("whole/qkv/seed-1/run.json").at(part),
                program.json(name + "/qkv/seed-1/run.json").at(part))
          << part;
    }
  }
  // Checkpoints of other flags are refused before anything is written.
  cut_off(program, "other/qkv/seed-1", all[1]);
  program.write("other/config.toml", program.read("whole/config.toml"));
  program.refuses(study_flags("other", {"--resume", "--quiet", "--lr", "1e-5"}), {"lr"});
  EXPECT_EQ(program.read("other/config.toml"), program.read("whole/config.toml"));
}

TEST(Resume, GoesOnWithinARunOfASweep) {
  auto const program = Program{};
  program.write("space.toml", "placement = [\"qkv\", \"head\"]\n");
  auto const data = golden("train/data.txt");
  auto const sweep = [&](std::string const& out, Flags const& further) {
    auto flags = Flags{"sweep",    "--model", golden("models/odd"),
                       "--train",  data,      "--valid",
                       data,       "--space", "space.toml",
                       "--epochs", "2",       "--batch-sequences",
                       "2",        "--out",   out};
    flags.insert(flags.end(), further.begin(), further.end());
    return program.done(flags);
  };
  sweep("whole", {"--checkpoint-every", "4", "--keep-checkpoints", "100"});
  sweep("again", {"--threads", "1"});
  // As if it had been cut off in its second trial.
  auto record = program.json("again/sweep.json");
  record["trials"].erase(1);
  program.write("again/sweep.json", record.dump());
  fs::remove_all(program.path("again/trial-2"));
  cut_off(program, "again/trial-2/seed-1", checkpoints(program, "whole/trial-2/seed-1")[1]);
  sweep("again", {"--resume", "--threads", "2", "--quiet"});
  expect_same(program, "whole/trial-2/seed-1", "again/trial-2/seed-1");
  EXPECT_EQ(steps(program, "again/trial-2/seed-1"), steps(program, "whole/trial-2/seed-1"));
  EXPECT_EQ(checkpoints(program, "again/trial-2/seed-1").size(), 1u);  // it was not begun anew
}

}  // namespace
}  // namespace qlora::testing
