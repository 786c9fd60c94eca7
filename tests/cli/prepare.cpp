// qlora prepare: real formats in, sets for training out.
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

std::string uniprot_table(bool has_binding_sites = true) {
  auto const of_binding = [&](std::string const& cell) {
    return has_binding_sites ? cell + "\t" : "";
  };
  auto text = "Entry\tProtein families\tSequence\t" + of_binding("Binding site") + "Active site\n";
  for (auto i = 0; i < 40; ++i) {
    auto const n = std::to_string(i);
    text +=
        "P" + n + "\tF" + std::to_string(i % 20) + " superfamily, X family\tMKV" +
        std::string(static_cast<std::size_t>(i), 'L') + "GG\t" +
        of_binding(i % 4 == 0 ? "" : "BINDING 2..3; /ligand=\"ATP\"; /evidence=\"ECO:0000250\"") +
        (i % 2 == 0 ? "ACT_SITE 1; /evidence=\"ECO:0000269|PubMed:1\"" : "") + "\n";
  }
  return text;
}

TEST(Prepare, MakesWhatTrainTakes) {
  auto const program = Program{};
  program.write("u.tsv", uniprot_table());
  auto const table = program.done({"prepare", "--input", "u.tsv", "--out", "d"}).out;
  auto const summary = program.json("d/summary.json");
  EXPECT_EQ(summary.at("read"), 40);
  EXPECT_EQ(summary.at("kept"), 40);
  EXPECT_EQ(summary.at("positives"), 30 * 2 + 20);
  EXPECT_NE(table.find("train"), std::string::npos);
  program.done({"train", "--model", golden("models/odd"), "--train", "d/train.txt", "--valid",
                "d/valid.txt", "--test", "u.tsv", "--out", "a", "--epochs", "1", "--quiet"});
  program.done({"evaluate", "--model", golden("models/odd"), "--data", "u.tsv", "--quiet"});
  program.done({"predict", "--model", golden("models/odd"), "--fasta", "u.tsv", "--out", "p.tsv",
                "--quiet"});

  program.done({"prepare", "--input", "u.tsv", "--out", "e"});
  EXPECT_EQ(program.read("d/train.txt"), program.read("e/train.txt"));
  program.done({"prepare", "--input", "u.tsv", "--out", "f", "--seed", "2"});
  EXPECT_NE(program.read("d/groups.tsv"), program.read("f/groups.tsv"));
}

TEST(Prepare, NotesWhatCannotBeTrained) {
  auto const program = Program{};
  program.write("u.tsv", uniprot_table());
  EXPECT_EQ(program.done({"prepare", "--input", "u.tsv", "--out", "d"}).err, "");
  program.write("active.tsv", uniprot_table(false));
  auto const prepare = std::vector<std::string>{"prepare", "--input", "active.tsv", "--out"};
  EXPECT_NE(program.done(prepare + std::vector<std::string>{"e"})
                .err.find("no residue is known to be no site"),
            std::string::npos);
  EXPECT_EQ(program.done(prepare + std::vector<std::string>{"f", "--unannotated", "negative"}).err,
            "");
  EXPECT_EQ(program.done(prepare + std::vector<std::string>{"g", "--quiet"}).err, "");
}

TEST(Prepare, ChoosesSites) {
  auto const program = Program{};
  program.write("u.tsv", uniprot_table());
  auto const positives = [&](std::vector<std::string> const& flags) {
    static auto count = 0;
    auto const out = "out" + std::to_string(++count);
    program.done(std::vector<std::string>{"prepare", "--input", "u.tsv", "--out", out} + flags);
    return program.json(out + "/summary.json").at("positives").get<int>();
  };
  EXPECT_EQ(positives({"--sites", "active"}), 20);
  EXPECT_EQ(positives({"--sites", "binding"}), 60);
  EXPECT_EQ(positives({"--evidence", "experimental"}), 20);
  EXPECT_EQ(positives({"--evidence", "manual", "--ligand", "atp"}), 60);
  EXPECT_EQ(positives({"--split", "random", "--test-fraction", "0.5"}), 80);
  program.write("c.tsv", "P0\tP0\nP0\tP1\nP2\tP2\nP3\tP3\nP3\tP4\nP5\tP5\nP6\tP6\nP7\tP7\n");
  EXPECT_EQ(positives({"--split", "clusters:c.tsv", "--valid-fraction", "0"}), 6 * 2 + 4);
}

TEST(Prepare, RefusesBadInputAndWritesNothing) {
  auto const program = Program{};
  program.write("u.tsv", uniprot_table());
  program.write("bad.tsv", uniprot_table() + "Q\tF\tMK\tBINDING 3\t\n");
  program.refuses({"prepare", "--input", "u.tsv", "bad.tsv", "--out", "d"},
                  {"bad.tsv:42: Binding site: expected a position from 1 to 2, found 3"});
  program.refuses({"prepare", "--input", "none.tsv", "--out", "d"}, {"none.tsv"});
  program.refuses({"prepare", "--input", "u.tsv", "--out", "d", "--split", "halves"}, {"--split"});
  program.refuses({"prepare", "--input", "u.tsv", "--out", "d", "--test-fraction", "1"}, {"split"});
  program.refuses({"prepare", "--input", "u.tsv", "--out", "d", "--sites", "none"}, {"--sites"});
  program.refuses({"prepare", "--out", "d"}, {"--input"});
  program.write("g.txt", ">a\nMK\n01\n>b\nMKV\n010\n");
  program.refuses({"prepare", "--input", "g.txt", "--out", "d"}, {"g.txt", "no family"});
  EXPECT_FALSE(std::filesystem::exists(program.path("d")));
  program.write("full/file", "");
  program.refuses({"prepare", "--input", "u.tsv", "--out", "full"}, {"full"});
}

}  // namespace
}  // namespace qlora::testing
