// qlora inspect: what folders and files hold.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

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
  EXPECT_EQ(adapter["intermediate.dense"], "0-2");   // the layers of a matrix
  EXPECT_EQ(adapter["output.dense"], "0-2");

  auto card = inspect(program, golden("card/adapter"));
  EXPECT_EQ(card["query"], "3");
  EXPECT_EQ(card["EsmSelfOutput.dense"], "0  matches nothing");
  EXPECT_EQ(card["classifier"], "1");
  EXPECT_EQ(card["attention.self.key"], "0-2");
  EXPECT_EQ(card["output.dense"], "none");
  auto const beside =
      program.done({"inspect", golden("card/adapter"), "--model", golden("models/odd")});
  EXPECT_NE(beside.out.find("attention.self.key      0-2      3\n"), std::string::npos)
      << beside.out;
}

TEST(Inspect, ShowsTextsOfAnAdapterOnceAndPlain) {
  auto const program = Program{};
  std::filesystem::copy(golden("card/adapter"), program.path("adapter"));
  auto config = program.json("adapter/adapter_config.json");
  config["base_model_name_or_path"] = "base\x1b[31m";
  config["target_modules"] = std::vector<std::string>(100'000, "query");
  config["target_modules"].push_back("key\x1b[2J");
  program.write("adapter/adapter_config.json", config.dump());
  program.write("adapter/qlora.json", R"({"a\u001b[2J": ["\u001b"], "b": {"c": "\u001b[0m"}})");
  auto adapter = inspect(program, "adapter");
  EXPECT_EQ(adapter["base model"], "base?[31m");
  EXPECT_EQ(adapter["query"], "3");
  EXPECT_EQ(adapter["key?[2J"], "0  matches nothing");
  EXPECT_EQ(adapter["a?[2J"], "[\"\\u001b\"]");
  EXPECT_EQ(adapter["b.c"], "?[0m");
  EXPECT_EQ(program.done({"inspect", "adapter"}).out.find('\x1b'), std::string::npos);

  config["target_modules"] = "((){999}){99}";
  program.write("adapter/adapter_config.json", config.dump());
  program.refuses({"inspect", "adapter"}, {"qlora: adapter: ", "takes too many steps"});
}

TEST(Inspect, DescribesData) {
  auto const program = Program{};
  program.write("d.txt", ">a\nMKV\n010\n>b\nMKVAA\n-1-00\n");
  auto data = inspect(program, "d.txt");
  EXPECT_EQ(data["format"], "three lines a protein");
  EXPECT_EQ(data["records"], "2");
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

TEST(Inspect, ShowsWhatTrainingLeft) {
  auto const program = Program{};
  program.write("d.txt", ">a\nMKV\n010\n>b\nMKVAA\n-1-00\n");
  program.done({"train", "--model", golden("models/odd"), "--train", "d.txt", "--quant", "int8",
                "--class-weights", "1,2.5", "--epochs", "1", "--out", "adapter"});
  auto adapter = inspect(program, "adapter");
  EXPECT_EQ(adapter["quant"], "int8");
  EXPECT_EQ(adapter["class_weights"], "[1.0,2.5]");
  program.done({"train", "--model", golden("models/odd"), "--train", "d.txt", "--epochs", "3",
                "--checkpoint-every", "2", "--out", "run"});
  auto checkpoint = inspect(program, "run/checkpoints/step-000000000002.safetensors");
  EXPECT_EQ(checkpoint["steps"], "2");
  EXPECT_EQ(checkpoint["epoch"], "2");
  EXPECT_EQ(checkpoint["flags.epochs"], "3");
}

TEST(Inspect, ComparesDataFiles) {
  auto const program = Program{};
  auto const kin = std::string{"MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"};
  auto const labels = std::string(kin.size() - 1, '0') + "1";
  program.write("train.txt", ">a\n" + kin + "\n" + labels + "\n>b\nWCH\n001\n");
  program.write("test.txt", ">a\nWCH\n001\n>c\n" + kin.substr(0, 30) + "PPP\n" + labels +
                                "\n>d\nGGGGGG\n000001\n");
  auto const both = program.done({"inspect", "train.txt", "test.txt", "--relatives"}).out;
  auto const row = [&](std::string const& name) {
    auto const at = both.rfind("\n" + name);
    return at == std::string::npos ? both : both.substr(at + 1, both.find('\n', at + 1) - at - 1);
  };
  EXPECT_EQ(row("records  "),
            "records                                     2                      3");
  // By identifier 1, which is of another sequence 0, by sequence 1; near relatives 1 and 1.
  auto const overlap = cells(row("test.txt"), '\n');
  EXPECT_EQ(overlap.at(0).at(0),
            "test.txt    train.txt                1                  0            1               "
            "-                 1                 1                 1");
  // A folder of prepared sets stands for its files.
  EXPECT_EQ(program.done({"inspect", "."}).out.substr(0, 4), "data");
  // Its groups are known by the table beside them: d is with a, c with nobody.
  program.write("groups.tsv",
                "chunk\tprotein\toffset\tfamily\tgroup\tsplit\na\ta\t0\tF\tF\ttrain\n"
                "b\tb\t0\tG\tG\ttrain\nc\tc\t0\tH\tH\ttest\nd\td\t0\tF\tF\ttest\n");
  auto const grouped = program.done({"inspect", "."}).out;
  EXPECT_NE(grouped.find("by group"), std::string::npos) << grouped;
  EXPECT_NE(grouped.find("\ngroups "), std::string::npos) << grouped;
  EXPECT_EQ(grouped.find("families"), std::string::npos) << grouped;
}

TEST(Inspect, ShowsSitesAndEvidence) {
  auto const program = Program{};
  program.write("u",
                "Entry\tSequence\tBinding site\tProtein families\n"
                "P1\tMKVAA\tBINDING 2; /ligand=\"ATP\"; /evidence=\"ECO:0000269\"; "
                "BINDING 3; /ligand=\"Zn(2+)\"\tKinase family\n"
                "P2\tMKVWW\tBINDING 2; /ligand=\"ATP\"; /evidence=\"ECO:0000305\"\t\n");
  auto data = inspect(program, "u");
  EXPECT_EQ(data["binding, experimental"], "1");
  EXPECT_EQ(data["binding, by a curator"], "1");
  EXPECT_EQ(data["binding, automatic or none"], "1");
  EXPECT_EQ(data["ATP"], "2");
  EXPECT_EQ(data["Zn(2+)"], "1");
  EXPECT_EQ(data["families"], "1");
  EXPECT_EQ(data["without a family or group"], "1");
  EXPECT_EQ(data["prevalence"], "0.3000");
  program.write("v", "Entry\tSequence\tBinding site\nP1\tMK\tBINDING 1; /ligand=\"\x1b[2J\"\n");
  EXPECT_EQ(inspect(program, "v")["?[2J"], "1");
}

TEST(Inspect, RefusesWhatIsNeither) {
  auto const program = Program{};
  program.write("bad.fasta", "MKV\n");
  program.refuses({"inspect", "bad.fasta"}, {"bad.fasta:1"});
  program.refuses({"inspect", "no/such/thing"}, {"no/such/thing"});
  program.refuses({"inspect", "."}, {"config.json"});
  program.refuses({"inspect"}, {"path"});
  program.write("good.fasta", ">a\nMKV\n");
  program.refuses({"inspect", "good.fasta", "bad.fasta"}, {"bad.fasta:1"});
  program.refuses({"inspect", "good.fasta", "--relatives"}, {"--relatives"});
  program.refuses({"inspect", "good.fasta", "--model", golden("models/odd")}, {"--model"});
  program.refuses({"inspect", golden("models/odd"), "--device", "cuda"}, {"cuda"}, 1);
}

}  // namespace
}  // namespace qlora::testing
