// qlora merge: a model that computes what its adapter does.
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

/// `qlora merge` of models/odd and lora/all into `out`, with other values for flags.
std::vector<std::string> merge(std::string const& out, std::string const& model = "models/odd",
                               std::string const& adapter = "lora/all") {
  return {"merge", "--model", golden(model), "--adapter", golden(adapter), "--out", out};
}

TEST(Merge, ComputesWhatTheAdapterDoes) {
  auto const program = Program{};
  program.write("proteins.fasta", ">one\nMKXUVAGHHC\n>two\nB\n");
  auto const logits = [&](std::string const& name, std::vector<std::string> const& model) {
    program.done(std::vector<std::string>{"predict", "--fasta", "proteins.fasta", "--out", name,
                                          "--logits", "--quiet"} +
                 model);
    return cells(program.read(name), '\t');
  };
  EXPECT_EQ(program.done(merge("merged")).err, "merged model in merged\n");
  auto const expected =
      logits("a.tsv", {"--model", golden("models/odd"), "--adapter", golden("lora/all")});
  auto const found = logits("m.tsv", {"--model", "merged"});
  ASSERT_EQ(found.size(), expected.size());
  for (auto i = std::size_t{1}; i < found.size(); ++i) {
    EXPECT_EQ(found[i][2], expected[i][2]);
    for (auto const column : {5u, 6u}) {
      auto const value = std::stod(expected[i][column]);
      EXPECT_NEAR(std::stod(found[i][column]), value, 1e-4 + 1e-4 * std::fabs(value));
    }
  }
}

TEST(Merge, SaysWhichTargetsMatchNothing) {
  auto const program = Program{};
  auto const said = program.done(merge("out", "models/odd", "card/adapter")).err;
  EXPECT_NE(said.find("\"EsmSelfOutput.dense\" matches no module"), std::string::npos) << said;
  EXPECT_EQ(said.find("\"query\""), std::string::npos) << said;
}

TEST(Merge, WritesNothingWhenItIsWrong) {
  auto const program = Program{};
  program.refuses(merge("out", "models/tiny"), {"lora/all", "classifier: expected 2x64, got 2x40"});
  program.refuses(merge("out", "models/odd", "lora/none"), {"lora/none", "adapter folder"});
  program.refuses(merge("out", "lora/all"), {"lora/all", "found a PEFT adapter"});
  EXPECT_FALSE(std::filesystem::exists(program.path("out")));
  program.write("out/mine.txt", "kept");
  program.refuses(merge("out"), {"out", "expected an empty folder"});
  EXPECT_EQ(program.read("out/mine.txt"), "kept");
  EXPECT_FALSE(std::filesystem::exists(program.path("out/config.json")));
  program.write("old/adapter_config.json", "{}");
  program.write("old/adapter_model.bin", "");
  program.refuses({"merge", "--model", golden("models/odd"), "--adapter", "old", "--out", "new"},
                  {"adapter_model.bin", "qlora import"});
}

}  // namespace
}  // namespace qlora::testing
