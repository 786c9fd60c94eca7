// Runs that are stopped by signals, or find another at work, end as if they had not been.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "resumed.hpp"

namespace qlora::testing {
namespace {

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

}  // namespace
}  // namespace qlora::testing
