// qlora inspect: what folders and files hold.
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

/// What stands behind each first column of the tables; columns are two blanks apart.
std::map<std::string, std::string> inspect(Program const& program, std::string const& path) {
  auto rows = std::map<std::string, std::string>{};
  for (auto const& row : cells(program.done({"inspect", path}).out, '\n')) {
    if (row.empty()) continue;
    auto const gap = row[0].find("  ");
    if (gap == std::string::npos) continue;
    rows[row[0].substr(0, gap)] = row[0].substr(row[0].find_first_not_of(' ', gap));
  }
  return rows;
}

TEST(Inspect, DescribesAModel) {
  auto const program = Program{};
  auto model = inspect(program, golden("models/odd"));
  EXPECT_EQ(model["model"], golden("models/odd"));
  EXPECT_EQ(model["layers"], "3");
  EXPECT_EQ(model["hidden size"], "40");
  EXPECT_EQ(model["feed-forward size"], "104");
  EXPECT_EQ(model["attention heads"], "4");
  EXPECT_EQ(model["encoder parameters"], "46952");  // 47,047 less classifier and contact head
  EXPECT_EQ(model["quantization"], "none");
  EXPECT_EQ(model["classifier"], "present");
  EXPECT_EQ(model["model.safetensors"], "56  188208  F32");

  auto quantized = inspect(program, golden("models/tiny_nf4"));
  EXPECT_EQ(quantized["quantization"], "nf4, double-quantized");
  EXPECT_EQ(inspect(program, golden("models/tiny_int8"))["quantization"], "int8");
  EXPECT_EQ(inspect(program, golden("models/odd_no_head"))["classifier"],
            "absent: a head on it is fresh");
  EXPECT_TRUE(
      inspect(program, golden("models/odd_sharded")).contains("model-00004-of-00004.safetensors"));
}

TEST(Inspect, DescribesAnAdapter) {
  auto const program = Program{};
  auto adapter = inspect(program, golden("lora/all_rslora"));
  EXPECT_EQ(adapter["rank"], "3");
  EXPECT_EQ(adapter["alpha"], "5.0000");
  EXPECT_EQ(adapter["scaling"], "alpha / sqrt(rank)");
  EXPECT_EQ(adapter["scale"], "2.8868");
  EXPECT_EQ(adapter["adapted layers"], "3");
  EXPECT_EQ(adapter["classifier"], "present");
  EXPECT_EQ(adapter["trained parameters"], "5554");  // 3 layers x rank 3 x (4 x 80 + 2 x 144) + 82
  EXPECT_EQ(adapter["attention.output.dense"], "3");
  EXPECT_EQ(adapter["output.dense"], "3");

  auto card = inspect(program, golden("card/adapter"));
  EXPECT_EQ(card["query"], "3");
  EXPECT_EQ(card["EsmSelfOutput.dense"], "0");
  EXPECT_EQ(card["classifier"], "1");
}

TEST(Inspect, DescribesData) {
  auto const program = Program{};
  program.write("d.txt", ">a\nMKV\n010\n>b\nMKVAA\n-1-00\n");
  auto data = inspect(program, "d.txt");
  EXPECT_EQ(data["format"], "three lines a protein");
  EXPECT_EQ(data["proteins"], "2");
  EXPECT_EQ(data["residues"], "8");
  EXPECT_EQ(data["positives"], "2");
  EXPECT_EQ(data["negatives"], "4");
  EXPECT_EQ(data["unknown"], "2");
  EXPECT_EQ(data["shortest"], "3");
  EXPECT_EQ(data["median length"], "5");
  EXPECT_EQ(data["longest"], "5");
  program.write("u", "Entry\tSequence\tBinding site\nP1\tMKV\tBINDING 2\nP2\tMK\tBINDING ?1\n");
  auto table = inspect(program, "u");
  EXPECT_EQ(table["format"], "UniProt table");
  EXPECT_EQ(table["positives"], "1");
  EXPECT_EQ(table["without labels: uncertain position"], "1");
  program.write("p.fasta", ">a\nMKV\n");
  auto fasta = inspect(program, "p.fasta");
  EXPECT_EQ(fasta["format"], "FASTA");
  EXPECT_EQ(fasta["unknown"], "3");
}

TEST(Inspect, RefusesWhatIsNeither) {
  auto const program = Program{};
  program.write("bad.fasta", "MKV\n");
  program.refuses({"inspect", "bad.fasta"}, {"bad.fasta:1"});
  program.refuses({"inspect", "no/such/thing"}, {"no/such/thing"});
  program.refuses({"inspect", "."}, {"config.json"});
  program.refuses({"inspect"}, {"path"});
  program.refuses({"inspect", golden("models/odd"), "--device", "cuda"}, {"cuda"}, 1);
}

}  // namespace
}  // namespace qlora::testing
