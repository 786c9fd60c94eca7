#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include <qlora/report/progress.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

TEST(Progress, WritesNumbersForPeople) {
  EXPECT_EQ(report::magnitude(0.), "0");
  EXPECT_EQ(report::magnitude(999.), "999");
  EXPECT_EQ(report::magnitude(3960.), "3.96k");
  EXPECT_EQ(report::magnitude(78'837.), "78.8k");
  EXPECT_EQ(report::magnitude(397'000.), "397k");
  EXPECT_EQ(report::magnitude(5.7e9), "5.70G");
  EXPECT_EQ(report::duration(11.6), "12 s");
  EXPECT_EQ(report::duration(187.), "3:07");
  EXPECT_EQ(report::duration(7500.), "2:05:00");
}

class ProgressFile : public ::testing::Test {
 protected:
  void TearDown() override { std::fclose(file_); }

  std::string text() {
    std::fflush(file_);
    return testing::read_file(folder_.path() / "log");
  }

  testing::TemporaryFolder folder_;
  std::FILE* file_ = std::fopen((folder_.path() / "log").c_str(), "w");
};

TEST_F(ProgressFile, SaysHowFarWorkHasCome) {
  auto progress =
      report::Progress{"train", 1000., "tokens", report::Progress::Style::automatic, file_};
  progress.update(250., "loss 0.4149");
  auto const line = progress.line();
  EXPECT_TRUE(line.starts_with("train 250/1.00k tokens, ")) << line;
  EXPECT_NE(line.find("/s, loss 0.4149, "), std::string::npos) << line;
  EXPECT_TRUE(line.ends_with(" left")) << line;
  progress.update(1000.);
  EXPECT_FALSE(progress.line().ends_with(" left"));
}

TEST_F(ProgressFile, LeavesNoLineOfShortWork) {
  {
    auto progress =
        report::Progress{"metrics", 10., "residues", report::Progress::Style::automatic, file_};
    for (auto i = 1; i <= 10; ++i) progress.update(i);
  }
  EXPECT_EQ(text(), "");
}

TEST_F(ProgressFile, IsSilentWhenAsked) {
  auto progress = report::Progress{"train", 10., "tokens", report::Progress::Style::silent, file_};
  progress.update(10.);
  progress.finish();
  EXPECT_EQ(text(), "");
}

}  // namespace
}  // namespace qlora
