// qlora quantize: a folder that computes what quantizing on the way in does.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

std::vector<std::string> quantize(std::string const& model, std::string const& scheme,
                                  std::string const& out) {
  return {"quantize", "--model", golden(model), "--quant", scheme, "--out", out};
}

TEST(Quantize, ComputesWhatQuantizingOnTheWayInDoes) {
  auto const program = Program{};
  program.write("proteins.fasta", ">one\nMKXUVAGHHC\n>two\nB\n");
  auto const logits = [&](std::vector<std::string> const& model) {
    program.done(std::vector<std::string>{"predict", "--fasta", "proteins.fasta", "--out", "t.tsv",
                                          "--logits", "--quiet"} +
                 model);
    return program.read("t.tsv");
  };
  auto const full = logits({"--model", golden("models/odd")});
  for (auto const* const scheme : {"nf4", "fp4", "int8"}) {
    auto const out = std::string{"odd-"} + scheme;
    EXPECT_EQ(program.done(quantize("models/odd", scheme, out)).err,
              std::string{scheme} + " model in " + out + "\n");
    auto const found = logits({"--model", out});
    EXPECT_EQ(found, logits({"--model", golden("models/odd"), "--quant", scheme}));
    EXPECT_NE(found, full);
  }
}

TEST(Quantize, SaysThatThereIsNoClassifier) {
  auto const program = Program{};
  auto const said = program.done(quantize("models/odd_no_head", "nf4", "out")).err;
  EXPECT_NE(said.find("no classifier"), std::string::npos) << said;
}

TEST(Quantize, WritesNothingWhenItIsWrong) {
  auto const program = Program{};
  program.refuses(quantize("models/tiny_nf4", "nf4", "out"),
                  {"tiny_nf4/config.json", "expected a model in full precision"});
  program.refuses(quantize("models/odd", "none", "out"), {"--quant", "none"});
  program.refuses(quantize("models/none", "nf4", "out"), {"models/none"});
  EXPECT_FALSE(std::filesystem::exists(program.path("out")));
  program.write("out/mine.txt", "kept");
  program.refuses(quantize("models/odd", "nf4", "out"), {"out", "expected an empty folder"});
  program.refuses(quantize("models/odd", "nf4", "out/mine.txt"), {"expected a folder to fill"});
  EXPECT_EQ(program.read("out/mine.txt"), "kept");
}

}  // namespace
}  // namespace qlora::testing
