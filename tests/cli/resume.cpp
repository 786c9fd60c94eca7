// Interrupted in any way, a run ends as if it had not been.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/file.h>

#include "cli/checkpoint_file.hpp"
#include "program.hpp"

namespace qlora::testing {
namespace {

namespace fs = std::filesystem;
using Flags = std::vector<std::string>;

/// Two epochs of a dozen steps each.
Flags train(std::string const& out, Flags const& further = {}) {
  auto const data = golden("train/data.txt");
  auto flags = Flags{"train",
                     "--model",
                     golden("models/odd"),
                     "--train",
                     data,
                     "--valid",
                     data,
                     "--test",
                     data,
                     "--epochs",
                     "2",
                     "--batch-sequences",
                     "2",
                     "--dropout",
                     "0.3",
                     "--out",
                     out,
                     "--select",
                     "average_precision"};
  flags.insert(flags.end(), further.begin(), further.end());
  return flags;
}

/// The columns of history.csv that do not tell the time.
std::string steps(Program const& program, std::string const& folder) {
  auto text = std::string{};
  for (auto const& row : cells(program.read(folder + "/history.csv"), ',')) {
    for (auto i = std::size_t{0}; i < 6; ++i) text += row.at(i) + ",";
    text += "\n";
  }
  return text;
}

void expect_same(Program const& program, std::string const& one, std::string const& other) {
  SCOPED_TRACE(other);
  for (auto const* const file :
       {"adapter_model.safetensors", "adapter_config.json", "qlora.json", "metrics.json"}) {
    EXPECT_EQ(program.read(one + "/" + file), program.read(other + "/" + file)) << file;
  }
  EXPECT_EQ(steps(program, one), steps(program, other));
}

std::vector<fs::path> checkpoints(Program const& program, std::string const& folder) {
  auto files = std::vector<fs::path>{};
  for (auto const& entry : fs::directory_iterator{program.path(folder + "/checkpoints")}) {
    if (entry.path().filename().string().starts_with("step-")) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

/// A folder as a run leaves it that was cut off after that checkpoint.
void cut_off(Program const& program, std::string const& folder, fs::path const& checkpoint) {
  auto const target = program.path(folder) / "checkpoints";
  fs::create_directories(target);
  fs::copy_file(checkpoint, target / checkpoint.filename());
}

/// Waits until that much of a run has happened.
bool reached(RunningProgram& run, fs::path const& file) {
  using namespace std::chrono_literals;
  for (auto i = 0; i < 12000 && !fs::exists(file); ++i) {
    if (run.has_ended()) break;
    std::this_thread::sleep_for(5ms);
  }
  return fs::exists(file);
}

TEST(Resume, EndsAsIfNothingHadHappened) {
  auto const program = Program{};
  auto const often = Flags{"--checkpoint-every", "1", "--keep-checkpoints", "100"};
  program.done(train("plain"));
  program.done(train("whole", often));
  expect_same(program, "plain", "whole");
  auto const all = checkpoints(program, "whole");
  ASSERT_GE(all.size(), 10u);
  auto const ends_epoch = all.size() / 2 - 1;
  for (auto const i : {std::size_t{0}, ends_epoch, ends_epoch + 1, all.size() - 1}) {
    auto const name = "after-" + std::to_string(i + 1);
    cut_off(program, name, all[i]);
    auto const outcome = program.done(train(name, {"--resume", "--threads", "2"}));
    EXPECT_NE(outcome.err.find("resumes after step " + std::to_string(i + 1) + "\n"),
              std::string::npos)
        << outcome.err;
    expect_same(program, "plain", name);
  }
}

TEST(Resume, EndsSoWithEveryArmInBf16) {
  for (auto const* const quant : {"none", "nf4", "fp4", "int8"}) {
    for (auto const* const placement : {"qkv", "all", "card", "head"}) {
      SCOPED_TRACE(std::string{quant} + " " + placement);
      auto const program = Program{};
      auto const arm = Flags{"--quant", quant, "--placement", placement, "--compute", "bf16",
                             "--rank",  "2",   "--ci",        "none",    "--quiet"};
      auto often = arm;
      often.insert(often.end(), {"--checkpoint-every", "7", "--keep-checkpoints", "100",  //
                                 "--threads", "1"});
      program.done(train("whole", often));
      cut_off(program, "parts", checkpoints(program, "whole").front());
      auto goes_on = arm;
      goes_on.insert(goes_on.end(), {"--resume", "--threads", "3"});
      program.done(train("parts", goes_on));
      expect_same(program, "whole", "parts");
    }
  }
}

TEST(Resume, KeepsTheNewestCheckpoints) {
  auto const program = Program{};
  program.done(train("out", {"--checkpoint-every", "2", "--keep-checkpoints", "2"}));
  EXPECT_EQ(checkpoints(program, "out").size(), 2u);
}

TEST(Resume, PassesOverWhatIsNotWhole) {
  auto const program = Program{};
  program.done(train("whole", {"--checkpoint-every", "5", "--keep-checkpoints", "100"}));
  auto const all = checkpoints(program, "whole");
  ASSERT_GE(all.size(), 3u);
  auto const newest = read_file(all[2]);
  auto const damaged = [&](std::string const& name, std::string const& bytes) {
    cut_off(program, name, all[0]);
    cut_off(program, name, all[1]);
    program.write(name + "/checkpoints/" + all[2].filename().string(), bytes);
    auto const outcome = program.done(train(name, {"--resume"}));
    EXPECT_NE(outcome.err.find("passed over "), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("resumes after step 10\n"), std::string::npos) << outcome.err;
    expect_same(program, "whole", name);
  };
  damaged("empty", "");
  damaged("cut", newest.substr(0, newest.size() / 2));
  auto flipped = newest;
  flipped[newest.size() - 100] ^= 4;  // in a tensor
  damaged("flipped", flipped);
  auto header = newest;
  header[header.find("epochs")] ^= 1;  // of what decides the run: it is damage, not another run
  damaged("header", header);
}

TEST(Resume, LeavesNothingThatIsNotFinite) {
  auto const program = Program{};
  auto const diverging =
      Flags{"--lr", "1e38", "--weight-decay", "10", "--clip", "0", "--checkpoint-every", "1"};
  auto const outcome = program.run(train("out", diverging));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("expected finite parameters"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(program.path("out/adapter_model.safetensors")));

  program.done(train("whole", {"--checkpoint-every", "5", "--keep-checkpoints", "100"}));
  auto const all = checkpoints(program, "whole");
  cut_off(program, "again", all[0]);
  auto [identity, checkpoint] = cli::read_checkpoint(all[1]);
  checkpoint.training.second_moments.back() = std::numeric_limits<float>::infinity();
  cli::write_checkpoint(program.path("again/checkpoints") / all[1].filename(), identity,
                        checkpoint);
  auto const resumed = program.done(train("again", {"--resume"}));
  EXPECT_NE(resumed.err.find("expected finite parameters"), std::string::npos) << resumed.err;
  EXPECT_NE(resumed.err.find("resumes after step 5\n"), std::string::npos) << resumed.err;
  expect_same(program, "whole", "again");
}

/// With the right checksum, and numbers that no run has.
TEST(Resume, NamesTheFolderOfAForgedCheckpoint) {
  auto const program = Program{};
  program.done(train("out", {"--checkpoint-every", "5"}));
  auto const file = checkpoints(program, "out").back();
  auto const [identity, whole] = cli::read_checkpoint(file);
  auto const refuses = [&](auto&& forge, std::string const& what) {
    auto forged = whole;
    forge(forged.training);
    cli::write_checkpoint(file, identity, forged);
    program.refuses(train("out", {"--resume", "--quiet"}), {"out/checkpoints", what});
  };
  refuses([](auto& state) { state.steps = 1'000'000; }, "steps");
  refuses([](auto& state) { state.updates = -1; }, "updates");
  refuses([](auto& state) { state.failures = 10; }, "failures");
  refuses([](auto& state) { state.first_moments.pop_back(); }, "parameters");
}

/// The settings that a run leaves say what its model is quantized to, which nobody had asked for.
TEST(Resume, GoesOnFromItsOwnSettings) {
  auto const program = Program{};
  auto flags = train("out", {"--checkpoint-every", "5", "--placement", "head"});
  flags[2] = golden("models/tiny_nf4");
  program.done(flags);
  auto const adapter = program.read("out/adapter_model.safetensors");
  for (auto const* const name : {"metrics.json", "adapter_model.safetensors"}) {
    fs::remove(program.path("out") / name);
  }
  EXPECT_NE(program.read("out/config.toml").find("quant = \"nf4\""), std::string::npos);
  program.done({"train", "--config", "out/config.toml", "--out", "out", "--resume"});
  EXPECT_EQ(program.read("out/adapter_model.safetensors"), adapter);
}

TEST(Resume, NoticesFlippedBits) {
  auto const program = Program{};
  program.done(train("whole", {"--checkpoint-every", "5", "--placement", "head"}));
  auto const file = checkpoints(program, "whole").back();
  auto const whole = read_file(file);
  program.done({"inspect", file.string()});
  for (auto i = std::size_t{0}; i < 60; ++i) {  // a sample, half of it in the header
    auto bytes = whole;
    auto& byte = bytes[i < 30 ? i * 37 % 1500 : i * whole.size() / 60];
    byte = static_cast<char>(byte ^ (1 << (i % 8)));
    program.write("flipped.safetensors", bytes);
    program.refuses({"inspect", "flipped.safetensors"}, {"flipped.safetensors"});
  }
}

TEST(Resume, RefusesAnotherRunAndNamesTheDifference) {
  auto const program = Program{};
  program.done(train("out", {"--checkpoint-every", "5"}));
  auto const config = program.read("out/config.toml");
  program.refuses(train("out"), {"out", "empty folder", "--resume goes on"});
  program.refuses(train("out", {"--resume", "--quiet", "--lr", "1e-5"}), {"safetensors", "lr"});
  program.refuses(train("out", {"--resume", "--quiet", "--seed", "9"}), {"seed"});
  program.refuses(train("out", {"--resume", "--quiet", "--quant", "int8"}), {"quant"});
  EXPECT_EQ(program.read("out/config.toml"), config);
}

TEST(Resume, BeginsWhereThereIsNoCheckpoint) {
  auto const program = Program{};
  program.done(train("plain"));
  auto const outcome = program.done(train("new", {"--resume"}));
  EXPECT_NE(outcome.err.find("no checkpoint: starts from the beginning\n"), std::string::npos)
      << outcome.err;
  expect_same(program, "plain", "new");
}

TEST(Resume, RefusesResultsWithoutACheckpoint) {
  auto const program = Program{};
  program.done(train("out", {"--placement", "head"}));
  auto const adapter = program.read("out/adapter_model.safetensors");
  program.refuses(train("out", {"--resume", "--quiet"}), {"out", "metrics.json"});
  EXPECT_EQ(program.read("out/adapter_model.safetensors"), adapter);
  // An adapter of whatever origin.
  fs::create_directory(program.path("other"));
  fs::copy_file(program.path("out/adapter_config.json"), program.path("other/adapter_config.json"));
  program.refuses(train("other", {"--resume", "--quiet"}), {"other", "empty folder"});
}

/// Killed while what it had learned was evaluated, and before.
TEST(Resume, BeginsWhereThereAreNoResults) {
  auto const program = Program{};
  auto const flags = Flags{"--placement", "head"};
  auto resumed = flags;
  resumed.emplace_back("--resume");
  program.done(train("whole", flags));
  program.done(train("out", flags));
  fs::remove(program.path("out/metrics.json"));
  program.write("out/metrics.json.99-1.part", "{");
  program.done(train("out", resumed));
  expect_same(program, "whole", "out");
  EXPECT_FALSE(fs::exists(program.path("out/metrics.json.99-1.part")));

  fs::create_directory(program.path("begun"));
  program.write("begun/config.toml.99-1.part", "mod");
  program.done(train("begun", resumed));
  expect_same(program, "whole", "begun");
}

TEST(Resume, DoesNotTakeAFolderThatCannotBeReadForAnEmptyOne) {
  auto const program = Program{};
  fs::create_directory(program.path("out"));
  program.write("out/checkpoints", "");  // listing it fails
  auto const outcome = program.run(train("out", {"--resume", "--quiet"}));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("out/checkpoints: cannot list the folder: "), std::string::npos)
      << outcome.err;
}

/// Stopped while the end of an epoch is evaluated, again and again before it gets on.
TEST(Resume, GoesOnFromTheEndOfAnEpoch) {
  auto const program = Program{};
  auto proteins = std::string{};
  for (auto i = 0; i < 3000; ++i) {
    proteins += ">p" + std::to_string(i) + "\n" + std::string(300, "ACDEFGHIKL"[i % 10]) + "\n" +
                "1" + std::string(299, '0') + "\n";
  }
  program.write("valid.txt", proteins);
  auto const slow = Flags{"--valid", "valid.txt", "--placement", "head", "--ci", "none"};
  program.done(train("whole", slow));
  auto resumed = slow;
  resumed.emplace_back("--resume");
  for (auto round = 0; round < 3; ++round) {
    auto run = program.start(train("stopped", resumed));
    // From the second time on it is evaluating the first epoch at once.
    ASSERT_TRUE(reached(run, program.path("stopped/history.csv")) || round > 0);
    std::this_thread::sleep_for(std::chrono::milliseconds{150});
    run.signal(SIGTERM);
    auto const outcome = run.wait();
    EXPECT_EQ(outcome.status, 143) << outcome.err;
    if (round == 0) {
      EXPECT_NE(outcome.err.find("stopped by SIGTERM, after step "), std::string::npos)
          << outcome.err;
    }
  }
  program.done(train("stopped", resumed));
  expect_same(program, "whole", "stopped");
}

TEST(Resume, GoesOnAfterSignals) {
  auto const program = Program{};
  auto const longer = Flags{"--epochs", "40", "--placement", "head", "--checkpoint-every", "7"};
  program.done(train("whole", longer));
  auto resumed = longer;
  resumed.emplace_back("--resume");

  auto const seventh = std::string{"checkpoints/step-000000000007.safetensors"};
  auto polite = program.start(train("terminated", longer));
  ASSERT_TRUE(reached(polite, program.path("terminated") / seventh));
  auto const asked = std::chrono::steady_clock::now();
  polite.signal(SIGTERM);  // and again, as `timeout` and schedulers have it
  std::this_thread::sleep_for(std::chrono::milliseconds{1});
  polite.signal(SIGTERM);
  auto const outcome = polite.wait();
  EXPECT_EQ(outcome.status, 143) << outcome.err;
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds{30});
  EXPECT_NE(outcome.err.find("stopped by SIGTERM, after step "), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(program.path("terminated/metrics.json")));
  auto const step = outcome.err.substr(outcome.err.find("after step ") + 11);
  auto const resumes = "resumes after step " + step.substr(0, step.find(';')) + "\n";
  auto const goes_on = program.done(train("terminated", resumed));
  EXPECT_NE(goes_on.err.find(resumes), std::string::npos) << resumes << goes_on.err;
  expect_same(program, "whole", "terminated");

  // Killed, again and again, at whatever moment.
  for (auto const step : {"007", "070", "203", "350", "497"}) {
    auto killed = program.start(train("killed", resumed));
    ASSERT_TRUE(reached(killed, program.path("killed/checkpoints/step-000000000" +
                                             std::string{step} + ".safetensors")));
    std::this_thread::sleep_for(std::chrono::milliseconds{step[2] % 4});
    killed.signal(SIGKILL);
    killed.wait();
  }
  program.done(train("killed", resumed));
  expect_same(program, "whole", "killed");
}

TEST(Resume, LeavesNoPartOfPredictionsAtSigterm) {
  auto const program = Program{};
  auto proteins = std::string{};
  for (auto i = 0; i < 4000; ++i) {
    proteins += ">p" + std::to_string(i) + "\n" + std::string(400, "ACDEFGHIKL"[i % 10]) + "\n";
  }
  program.write("p.fasta", proteins);
  auto run = program.start({"predict", "--model", golden("models/odd"), "--fasta", "p.fasta",
                            "--out", "out.tsv", "--quiet"});
  auto const is_under_way = [&] {
    for (auto const& entry : fs::directory_iterator{program.path(".")}) {
      if (entry.path().extension() == ".part") return true;
    }
    return false;
  };
  while (!is_under_way() && !run.has_ended()) std::this_thread::yield();
  run.signal(SIGTERM);
  EXPECT_EQ(run.wait().status, 143);
  EXPECT_FALSE(is_under_way());
  EXPECT_FALSE(fs::exists(program.path("out.tsv")));
}

TEST(Resume, RefusesAFolderThatAnotherRunFills) {
  auto const program = Program{};
  fs::create_directory(program.path("out"));
  auto const folder = ::open(program.path("out").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(folder, LOCK_EX | LOCK_NB), 0);
  program.refuses(train("out", {"--quiet"}), {"out", "another run"});
  EXPECT_TRUE(fs::is_empty(program.path("out")));
  ::close(folder);

  auto run = program.start(train("out", {"--epochs", "1000", "--checkpoint-every", "1"}));
  ASSERT_TRUE(reached(run, program.path("out/checkpoints")));
  program.refuses(train("out", {"--quiet", "--resume", "--epochs", "1000"}),
                  {"out", "another run"});
  run.signal(SIGKILL);
  run.wait();
}

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
