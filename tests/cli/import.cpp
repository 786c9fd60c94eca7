// qlora import: pickled models and adapters, which no other command takes.
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/safetensors.hpp>

#include "program.hpp"

namespace qlora::testing {
namespace {

std::vector<std::string> import_into(std::string const& input, std::string const& out) {
  return {"import", "--input", input, "--out", out};
}

/// Logits of the goldens' sequences against what transformers computed.
void expect_logits(Program const& program, std::string const& expected,
                   std::vector<std::string> const& model) {
  program.write("proteins.fasta", ">a\nMKV\n>b\nWHCXLAGVST\n>c\nY\n");
  program.done(std::vector<std::string>{"predict", "--fasta", "proteins.fasta", "--out",
                                        "sites.tsv", "--logits", "--quiet"} +
               model);
  auto const rows = cells(program.read("sites.tsv"), '\t');
  auto const goldens = SafetensorsFile{golden("pickled/logits.safetensors")};
  auto const logits = read_floats(goldens.at(expected), "f");  // (tokens, 2)
  auto const tokens = std::vector<std::size_t>{1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18};
  ASSERT_EQ(rows.size(), tokens.size() + 1);
  for (auto i = std::size_t{0}; i < tokens.size(); ++i) {
    for (auto const label : {0u, 1u}) {
      auto const value = logits[2 * tokens[i] + label];
      EXPECT_NEAR(std::stod(rows[i + 1][5 + label]), value, 1e-4 + 1e-4 * std::fabs(value));
    }
  }
}

TEST(Import, MakesFoldersThatCompute) {
  auto const program = Program{};
  for (auto const* const name : {"model", "sharded", "legacy"}) {
    auto const done = program.done(import_into(golden("pickled/" + std::string{name}), name));
    EXPECT_EQ(done.err, "model in " + std::string{name} + "\n");
    expect_logits(program, "logits", {"--model", name});
  }
  auto const said = program.done(import_into(golden("pickled/adapter"), "adapter"));
  EXPECT_NE(said.err.find("LoRA on the classifier is folded"), std::string::npos) << said.err;
  auto const rows = cells(said.out, '\n');
  ASSERT_EQ(rows.size(), 10u) << said.out;
  EXPECT_TRUE(rows[2][0].starts_with("query") && rows[2][0].ends_with(" 2")) << said.out;
  EXPECT_TRUE(rows[5][0].starts_with("EsmSelfOutput.dense") && rows[5][0].ends_with(" 0"));
  expect_logits(program, "logits.adapter", {"--model", "model", "--adapter", "adapter"});

  program.done({"merge", "--model", "model", "--adapter", "adapter", "--out", "merged"});
  expect_logits(program, "logits.adapter", {"--model", "merged"});
  program.write("data.txt", ">a\nMKV\n010\n");
  program.done({"evaluate", "--model", "model", "--adapter", "adapter", "--data", "data.txt"});
}

TEST(Import, WritesNothingWhenItIsWrong) {
  auto const program = Program{};
  program.refuses(import_into("none", "out"), {"none", "hf download"});
  program.refuses(import_into(golden("pickled/model/pytorch_model.bin"), "out"), {"found a file"});
  program.refuses(import_into(golden("models/odd"), "out"), {"the folder can be used as it is"});
  program.refuses(import_into(golden("lora/all"), "out"), {"the folder can be used as it is"});
  program.write("evil/config.json", read_file(golden("pickled/model/config.json")));
  auto evil = read_file(golden("pickled/model/pytorch_model.bin"));
  auto const harmless = std::string{"torch._utils\n_rebuild_tensor_v2"};
  evil.replace(evil.find(harmless), harmless.size(), "posix_______\nsystem____________");
  program.write("evil/pytorch_model.bin", evil);
  program.refuses(import_into("evil", "out"), {"pytorch_model.bin, data.pkl: byte", "posix"});
  program.write("evil/pytorch_model.bin", "cos\nsystem\n(Vtrue\ntR.");
  program.refuses(import_into("evil", "out"), {"evil/pytorch_model.bin", "save it again"});
  EXPECT_FALSE(std::filesystem::exists(program.path("out")));
  program.write("out/mine.txt", "kept");
  program.refuses(import_into(golden("pickled/model"), "out"), {"out", "expected an empty folder"});
  program.refuses(import_into(golden("pickled/adapter"), "out"),
                  {"out", "expected an empty folder"});
  EXPECT_FALSE(std::filesystem::exists(program.path("out/config.json")));
}

TEST(Import, IsWhatOtherCommandsAskFor) {
  auto const program = Program{};
  program.write("data.txt", ">a\nMKV\n010\n");
  auto const old = golden("pickled/model");
  auto const commands = std::vector<std::vector<std::string>>{
      {"evaluate", "--data", "data.txt"},
      {"predict", "--fasta", "data.txt", "--out", "sites.tsv"},
      {"train", "--train", "data.txt", "--out", "out"},
      {"compare", "--train", "data.txt", "--test", "data.txt", "--out", "out"},
      {"quantize", "--quant", "nf4", "--out", "out"}};
  for (auto const& command : commands) {
    for (auto const& model : {old, golden("pickled/sharded"), old + "/pytorch_model.bin"}) {
      program.refuses(command + std::vector<std::string>{"--model", model}, {"qlora import"});
    }
  }
  auto const odd = golden("models/odd");
  for (auto const& adapter :
       {golden("pickled/adapter"), golden("pickled/adapter/adapter_model.bin")}) {
    program.refuses({"evaluate", "--data", "data.txt", "--model", odd, "--adapter", adapter},
                    {"qlora import"});
    program.refuses({"merge", "--model", odd, "--adapter", adapter, "--out", "out"},
                    {"qlora import"});
    program.refuses({"inspect", adapter}, {"qlora import"});
  }
  program.refuses({"inspect", old}, {"qlora import"});
  EXPECT_FALSE(std::filesystem::exists(program.path("out")));
}

}  // namespace
}  // namespace qlora::testing
