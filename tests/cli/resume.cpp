// Interrupted in any way, a run ends as if it had not been: from whole and damaged checkpoints, and
// from folders with and without results.
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/checkpoint_file.hpp"
#include "resumed.hpp"

namespace qlora::testing {
namespace {

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
TEST(Resume, NamesTheFileOfAForgedCheckpoint) {
  auto const program = Program{};
  program.done(train("out", {"--checkpoint-every", "5"}));
  auto const file = checkpoints(program, "out").back();
  auto const name = "out/checkpoints/" + file.filename().string();
  auto const [identity, whole] = cli::read_checkpoint(file);
  auto const refuses = [&](auto&& forge, std::string const& what) {
    auto forged = whole;
    forge(forged.training);
    cli::write_checkpoint(file, identity, forged);
    program.refuses(train("out", {"--resume", "--quiet"}), {name, what});
  };
  refuses([](auto& state) { state.steps = 1'000'000; }, "steps");
  refuses([](auto& state) { state.updates = -1; }, "updates");
  refuses([](auto& state) { state.failures = 10; }, "failures");
  refuses([](auto& state) { state.first_moments.pop_back(); }, "parameters");
  auto forged = whole;
  forged.best_epoch = 1;
  forged.best_parameters = {0.f};
  cli::write_checkpoint(file, identity, forged);
  program.refuses(train("out", {"--resume", "--quiet"}),
                  {name, "best parameters: expected 3730, found 1"});
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

}  // namespace
}  // namespace qlora::testing
