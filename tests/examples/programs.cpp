// The example programs, run as a user would, on the nano model and a small synthetic corpus.
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/synth/corpus.hpp>

#include "support/files.hpp"
#include "support/program.hpp"

namespace qlora::testing {
namespace {

class Examples : public ::testing::Test {
 protected:
  Examples() { synth::write(synth::generate({.families = 8, .members = 2}), folder_.path()); }

  Outcome run(std::string const& program, std::vector<std::string> const& arguments) const {
    return run_program((std::string{QLORA_PROGRAMS "/"} + program).c_str(), arguments,
                       folder_.path());
  }
  /// On the nano model and the corpus.
  Outcome run(std::string const& program) const {
    return run(program, {QLORA_SOURCE_DIR "/examples/data/nano-esm2", "train.txt", "test.txt"});
  }

  TemporaryFolder folder_;
};

/// Lines, cut at blanks.
std::vector<std::vector<std::string>> rows(std::string const& text) {
  auto table = std::vector<std::vector<std::string>>{};
  auto lines = std::istringstream{text};
  for (auto line = std::string{}; std::getline(lines, line);) {
    auto& cells = table.emplace_back();
    auto words = std::istringstream{line};
    for (auto word = std::string{}; words >> word;) cells.push_back(word);
  }
  return table;
}

void expect_share(std::string const& cell) {
  EXPECT_GE(std::stod(cell), 0.) << cell;
  EXPECT_LE(std::stod(cell), 1.) << cell;
}

TEST_F(Examples, ExplainWrongUse) {
  for (auto const* const usage :
       {"binding_sites MODEL TRAIN TEST OUT", "custom_policy MODEL TRAIN TEST",
        "layer_ablation MODEL TRAIN TEST"}) {
    auto const words = rows(usage).front();
    auto const& program = words.front();
    auto const unused = run(program, {});
    EXPECT_EQ(unused.status, 2);
    EXPECT_EQ(unused.err, std::string{"usage: "} + usage + "\n");
    auto const absent = run(program, std::vector<std::string>(words.size() - 1, "/absent"));
    EXPECT_EQ(absent.status, 2);
    EXPECT_NE(absent.err.find("/absent: "), std::string::npos) << absent.err;
    EXPECT_EQ(absent.out, "");
  }
}

TEST_F(Examples, BindingSitesPrintsTheCardsMetricsAndSavesTheAdapter) {
  auto const [status, out, error, peak_bytes] =
      run("binding_sites",
          {QLORA_SOURCE_DIR "/examples/data/nano-esm2", "train.txt", "test.txt", "adapter"});
  ASSERT_EQ(status, 0) << error;
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "adapter" / "adapter_model.safetensors"));
  EXPECT_TRUE(error.starts_with("step 1 loss ")) << error;
  for (auto const* const split : {"train loss ", "test  loss "}) {
    EXPECT_NE(out.find(split), std::string::npos) << out;
  }
  for (auto const& words : rows(out)) {
    if (words.size() == 2 && words[0] != "mcc") expect_share(words[1]);
  }
}

TEST_F(Examples, CustomPolicyPrintsARowForEachSplit) {
  auto const [status, out, error, peak_bytes] = run("custom_policy");
  ASSERT_EQ(status, 0) << error;
  auto const table = rows(out);
  ASSERT_EQ(table.size(), 4u) << out;  // header, rule, rows
  EXPECT_EQ(table[0], (std::vector<std::string>{"split", "average_precision", "mcc", "jaccard"}));
  EXPECT_EQ(table[2][0], "train");
  EXPECT_EQ(table[3][0], "test");
  for (auto const row : {2u, 3u}) {
    ASSERT_EQ(table[row].size(), 4u);
    expect_share(table[row][1]);
    expect_share(table[row][3]);
  }
}

TEST_F(Examples, LayerAblationPrintsARowForEachArm) {
  auto const [status, out, error, peak_bytes] = run("layer_ablation");
  ASSERT_EQ(status, 0) << error;
  auto table = rows(out);
  ASSERT_EQ(table.size(), 3u + 6u) << out;  // title, header, rule; none, four layers, all
  table.erase(table.begin(), table.begin() + 3);
  for (auto& row : table) {
    if (row[0] == "layer") row.erase(row.begin());  // "layer 0" are two words
    ASSERT_EQ(row.size(), 5u) << out;
    expect_share(row[2]);
    expect_share(row[3]);
    EXPECT_NEAR(std::stod(row[4]), std::stod(row[2]) - std::stod(row[3]), 1.01e-4) << out;
  }
  auto const parameters = [&](std::size_t row) { return std::stol(table[row][1]); };
  EXPECT_EQ(parameters(0), 2 * 64 + 2);
  auto const layer =
      std::int64_t{4} * (4 * (64 + 64) + 2 * (64 + 256));  // rank times in + out of each matrix
  for (auto const row : {1u, 2u, 3u, 4u}) EXPECT_EQ(parameters(row), parameters(0) + layer);
  EXPECT_EQ(parameters(5), parameters(0) + 4 * layer);
}

}  // namespace
}  // namespace qlora::testing
