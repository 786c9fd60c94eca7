// What SIGTERM, or a stream that is closed, leaves of the program.
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

namespace fs = std::filesystem;
using Flags = std::vector<std::string>;

/// Labelled proteins that take a while.
std::string many_proteins() {
  auto text = std::string{};
  for (auto i = 0; i < 4000; ++i) {
    text += ">p" + std::to_string(i) + "\n" + std::string(400, "ACDEFGHIKL"[i % 10]) + "\n1" +
            std::string(399, '0') + "\n";
  }
  return text;
}

/// Status 143 is of a program that has ended itself: a signal that kills has another.
TEST(Sigterm, EndsAtOnceWhereNothingIsToBeLeft) {
  auto const program = Program{};
  program.write("data.txt", many_proteins());
  for (auto const& command :
       {Flags{"evaluate", "--model", golden("models/odd"), "--data", "data.txt", "--quiet"},
        Flags{"synth", "--families", "100000", "--out", "out"}}) {
    auto run = program.start(command);
    while (!run.catches(SIGTERM) && !run.has_ended()) std::this_thread::yield();
    run.signal(SIGTERM);
    auto const outcome = run.wait();
    EXPECT_EQ(outcome.status, 143) << command[0];
    EXPECT_EQ(outcome.err, "qlora: stopped by SIGTERM\n");
    EXPECT_FALSE(fs::exists(program.path("out")));
  }
}

TEST(Sigterm, LeavesNoPartOfACorpus) {
  auto const program = Program{};
  auto status = 0;
  for (auto tries = 0; tries < 5 && status == 0; ++tries) {  // it may have been written by then
    fs::remove_all(program.path("out"));
    auto run = program.start({"synth", "--families", "2000", "--out", "out"});
    while (!fs::exists(program.path("out")) && !run.has_ended()) std::this_thread::yield();
    run.signal(SIGTERM);
    status = run.wait().status;
  }
  EXPECT_EQ(status, 143);
  EXPECT_FALSE(fs::exists(program.path("out")));
}

/// A file that is written never gets the number of a stream, and with it what is said there.
TEST(ClosedStreams, LeaveFilesAlone) {
  auto const program = Program{};
  auto flags = quick_training("train", "out");
  std::erase(flags, "--quiet");
  auto const outcome =
      run_program("/bin/sh", Flags{"-c", "exec \"$0\" \"$@\" <&- 2>&-", QLORA_PROGRAM} + flags,
                  program.path("."));
  EXPECT_EQ(outcome.status, 0);
  for (auto const& file : fs::directory_iterator{program.path("out")}) {
    EXPECT_EQ(read_file(file.path()).find("trained parameters"), std::string::npos) << file.path();
  }
  auto const mute = run_program("/bin/sh", {"-c", "exec \"$0\" completion bash >&-", QLORA_PROGRAM},
                                program.path("."));
  EXPECT_EQ(mute.status, 1);  // as before
}

}  // namespace
}  // namespace qlora::testing
