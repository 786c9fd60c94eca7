// The program as a whole: help, usage, and the commands that need no training.
#include "program.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace qlora::testing {
namespace {

TEST(Cli, ExplainsItself) {
  auto const program = Program{};
  EXPECT_NE(program.done({"--help"}).out.find("compare"), std::string::npos);
  EXPECT_EQ(cells(program.done({"--version"}).out, '.').at(0).size(), 3u);
  for (auto const* const command :
       {"demo", "compare", "train", "evaluate", "predict", "merge", "quantize", "import", "inspect",
        "memory", "prepare", "sweep", "synth"}) {
    auto const help = program.done({command, "--help"}).out;
    for (auto const* const part : {"Example:", "--threads", "--seed", "--config", "--device"}) {
      EXPECT_NE(help.find(part), std::string::npos) << command << " " << part;
    }
  }
  EXPECT_NE(program.done({"train", "--help"}).out.find("=nf4"), std::string::npos);
  EXPECT_NE(program.done({"demo", "--help"}).out.find("=qkv,all,qkv:r=6,alpha=3,head"),
            std::string::npos);
}

TEST(Cli, NamesAFlagThatIsMisspelled) {
  auto const program = Program{};
  program.refuses({"compare", "--modle", "x"}, {"`compare`, found --modle; --model is one"});
  program.refuses({"compare", "--nothing-alike=x"}, {"`compare`, found --nothing-alike\n"});
  program.refuses({"compare", "--zz"}, {"`compare`, found --zz\n"});
  // Values and names of files may look like flags.
  program.refuses({"inspect", "--", "--odd"}, {"--odd"});
  program.refuses({"evaluate", "--model", golden("models/odd"), "--data", "--odd"}, {"--odd"});
  EXPECT_NE(program.done({"train", "--odd", "--help"}).out.find("--placement"), std::string::npos);
}

TEST(Cli, TellsShellsWhatItTakes) {
  auto const program = Program{};
  program.write("qlora.bash", program.done({"completion", "bash"}).out);
  auto const completed = [&](std::string const& words) {
    auto const script = "source qlora.bash; COMP_WORDS=(qlora " + words +
                        "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _qlora; echo ${COMPREPLY[*]}";
    return run_program("/bin/bash", {"-c", script}, program.path("")).out;
  };
  EXPECT_EQ(completed("pre"), "predict prepare\n");
  EXPECT_EQ(completed("train --placement a"), "all\n");
  EXPECT_EQ(completed("train --max"), "--max-length\n");
  EXPECT_EQ(completed("train --train x"), "\n");  // a file
  EXPECT_NE(program.done({"completion", "fish"}).out.find("-l placement -x -a 'qkv all card head'"),
            std::string::npos);
  EXPECT_NE(program.done({"completion", "zsh"}).out.find("#compdef qlora"), std::string::npos);
  program.refuses({"completion", "csh"}, {"csh"});
  auto const manual = program.done({"manual"}).out;
  EXPECT_NE(manual.find(".SS compare"), std::string::npos);
  EXPECT_NE(manual.find("\\-\\-placement"), std::string::npos);
}

TEST(Cli, SaysThatItCouldNotWrite) {
  auto const program = Program{};
  for (auto const* const request : {"--help", "--version", "train --help"}) {
    auto const script = std::string{QLORA_PROGRAM " "} + request + " > /dev/full";
    auto const outcome = run_program("/bin/bash", {"-c", script}, program.path(""));
    EXPECT_EQ(outcome.status, 1) << request;
    EXPECT_EQ(outcome.err, "qlora: standard output: cannot write to it\n");
  }
}

TEST(Cli, PredictsInEveryFormatAndInWindows) {
  auto const program = Program{};
  program.write("proteins.fasta", ">1abc_A\nMKVLWAAKRRGDEHHCWYMKVLWAAKRRGDEHHCWY\n>1abc_B\nMKV\n");
  auto const predict = [&](std::vector<std::string> const& more) {
    program.done(std::vector<std::string>{"predict", "--model", golden("models/odd"), "--fasta",
                                          "proteins.fasta", "--out", "sites", "--quiet"} +
                 more);
    return program.read("sites");
  };
  auto const begins = [&](std::string const& format, std::string const& text) {
    EXPECT_EQ(predict({"--format", format, "--threshold", "0"}).substr(0, text.size()), text);
  };
  begins("gff3",
         "##gff-version 3\n##sequence-region 1abc_A 1 36\n1abc_A\tqlora\tbinding_site\t1\t36\t");
  begins("segments",
         "id\tfirst\tlast\tresidues\tmean_probability\thighest_probability\n1abc_A\t1\t36\tMKV");
  begins("jsonl", "{\"id\":\"1abc_A\",\"sequence\":\"MKV");
  begins("defattr", "attribute: site_probability\nrecipient: residues\n# 1abc_A\n\t/A:1\t");

  // A window's rows are those of the piece by itself.
  auto const shown = program.done({"predict", "--model", golden("models/odd"), "--fasta",
                                   "proteins.fasta", "--out", "-", "--quiet"});
  EXPECT_EQ(shown.out, predict({}));
  EXPECT_FALSE(std::filesystem::exists(program.path("-")));
  auto const whole = cells(predict({"--logits"}), '\t');
  auto const windows = cells(predict({"--logits", "--window", "20", "--window-margin", "4"}), '\t');
  ASSERT_EQ(windows.size(), whole.size());
  program.write("proteins.fasta", ">1abc_A\nMKVLWAAKRRGDEHHCWYMK\n");
  auto const piece = cells(predict({"--logits"}), '\t');
  for (auto i = std::size_t{1}; i <= 16; ++i) EXPECT_EQ(windows[i], piece[i]);
  for (auto i = std::size_t{37}; i < whole.size(); ++i) EXPECT_EQ(windows[i], whole[i]);

  program.refuses({"predict", "--model", golden("models/odd"), "--fasta", "proteins.fasta", "--out",
                   "sites", "--format", "gff3", "--logits", "--quiet"},
                  {"--logits: expected --format tsv or jsonl, found gff3"});
  program.write("two.fasta", ">a\nMKV\n>b\nMK\n");
  program.refuses({"predict", "--model", golden("models/odd"), "--fasta", "two.fasta", "--out",
                   "sites", "--format", "defattr", "--quiet"},
                  {"two.fasta: b: expected one protein for an attribute file"});
  program.refuses({"predict", "--model", golden("models/odd"), "--fasta", "proteins.fasta", "--out",
                   "sites", "--window", "256", "--quiet"},
                  {"window: expected more than both margins of 128, found 256"});
}

TEST(Cli, ColoursStructures) {
  auto const program = Program{};
  program.write("a.pdb",
                "ATOM      1  N   MET A  10      11.104   6.134  -6.504  1.00 12.34           N\n"
                "ATOM      2  N   GLY A  11      12.104   6.134  -6.504  1.00  5.00           N\n"
                "ATOM      3  N   TRP B   1      13.104   6.134  -6.504  1.00  5.00           N\n");
  auto const predict =
      std::vector<std::string>{"predict", "--model", golden("models/odd"), "--quiet"};
  program.done(predict + std::vector<std::string>{"--structure", "a.pdb", "--out", "b.pdb"});
  program.done(predict + std::vector<std::string>{"--structure", "a.pdb", "--out", "b.tsv",
                                                  "--format", "tsv"});
  auto const rows = cells(program.read("b.tsv"), '\t');
  auto const lines = cells(program.read("b.pdb"), '\n');
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[3][0], "B");
  for (auto i = std::size_t{0}; i < 3; ++i) {
    EXPECT_NEAR(std::stod(lines[i][0].substr(60, 6)), 100 * std::stod(rows[i + 1][3]), .00501);
  }
  program.refuses(predict + std::vector<std::string>{"--structure", "a.pdb", "--out", "c",
                                                     "--format", "defattr"},
                  {"--structure: expected another format than defattr"});
  program.refuses(predict + std::vector<std::string>{"--out", "c"},
                  {"expected --fasta or --structure, found neither"});
  program.refuses(
      predict + std::vector<std::string>{"--fasta", "b.tsv", "--structure", "a.pdb", "--out", "c"},
      {"expected --fasta or --structure, found both"});
  program.refuses(predict + std::vector<std::string>{"--fasta", golden("train/data.txt"), "--out",
                                                     "c", "--format", "structure"},
                  {"--format structure: expected --structure beside it"});
}

TEST(Cli, PredictsInWindowsAboutWhatAFullPassDoes) {
  auto const program = Program{};
  program.done({"synth", "--out", "corpus", "--families", "8", "--members", "1", "--quiet"});
  auto const margins = [&](std::string const& window) {
    program.done({"predict", "--model", std::string{QLORA_SOURCE_DIR} + "/examples/data/nano-esm2",
                  "--fasta", "corpus/test.txt", "--out", "sites", "--logits", "--window", window,
                  "--window-margin", "32", "--quiet"});
    auto values = std::vector<double>{};
    for (auto const& row : cells(program.read("sites"), '\t')) {
      if (row[0] != "id") values.push_back(std::stod(row[6]) - std::stod(row[5]));
    }
    return values;
  };
  auto const whole = margins("0"), windows = margins("160");
  ASSERT_EQ(whole.size(), windows.size());
  auto const n = static_cast<double>(whole.size());
  auto sum = 0., squares = 0., errors = 0.;
  for (auto i = std::size_t{0}; i < whole.size(); ++i) {
    sum += whole[i];
    squares += whole[i] * whole[i];
    errors += (whole[i] - windows[i]) * (whole[i] - windows[i]);
  }
  // What a window does not see matters, but not much.
  EXPECT_GT(errors, 0.);
  EXPECT_LT(std::sqrt(errors / n), .35 * std::sqrt(squares / n - sum * sum / n / n));
}

TEST(Cli, RefusesWrongUsage) {
  auto const program = Program{};
  program.refuses({}, {"subcommand"});
  program.refuses({"tarin"}, {"tarin"});
  program.refuses({"synth"}, {"--out"});
  program.refuses({"synth", "--out", "corpus", "--family", "3"}, {"--family"});
  program.refuses({"synth", "--out", "corpus", "--families", "1"}, {"families"});
  program.refuses({"synth", "--out", "corpus", "--seed", "010"},
                  {"--seed", "leading zeros", "010"});
  program.refuses({"synth", "--out", "corpus", "--members", "0x6"}, {"--members", "0x6"});
  program.refuses({"synth", "--out", "corpus", "--members", "99999999999999999999"},
                  {"--members", "at most 4294967295"});
  program.refuses({"evaluate", "--model", golden("models/odd"), "--data", "none.txt"},
                  {"none.txt"});
  EXPECT_FALSE(std::filesystem::exists(program.path("corpus")));
}

TEST(Cli, SynthesisesTheSameCorpusAgain) {
  auto const program = Program{};
  auto const table = program.done({"synth", "--out", "a", "--families", "10"}).out;
  program.done({"synth", "--out", "b", "--families", "10"});
  program.done({"synth", "--out", "c", "--families", "10", "--seed", "2"});
  EXPECT_EQ(program.read("a/train.txt"), program.read("b/train.txt"));
  EXPECT_NE(program.read("a/train.txt"), program.read("c/train.txt"));
  auto const counts = program.json("a/summary.json");
  EXPECT_NE(table.find(std::to_string(counts.at("test").at("residues").get<int>())),
            std::string::npos);
}

TEST(Cli, PredictsEveryResidue) {
  auto const program = Program{};
  program.write("proteins.fasta", ">one first\nMKXU\nVA\n>two\nB\n");
  program.done({"predict", "--model", golden("models/odd"), "--fasta", "proteins.fasta", "--out",
                "sites.tsv", "--logits", "--quiet"});
  auto const rows = cells(program.read("sites.tsv"), '\t');
  ASSERT_EQ(rows.size(), 8u);
  EXPECT_EQ(rows[0], (std::vector<std::string>{"id", "position", "residue", "probability", "label",
                                               "logit0", "logit1"}));
  auto const residues = std::string{"MKXUVAB"};
  for (auto i = std::size_t{0}; i < 7; ++i) {
    auto const& row = rows[i + 1];
    EXPECT_EQ(row[0], i < 6 ? "one" : "two");
    EXPECT_EQ(row[1], std::to_string(i < 6 ? i + 1 : 1));
    EXPECT_EQ(row[2], std::string{residues[i]});
    auto const margin = std::stod(row[6]) - std::stod(row[5]);
    EXPECT_NEAR(std::stod(row[3]), 1. / (1. + std::exp(-margin)), 1e-6);
    EXPECT_EQ(row[4], margin > 0. ? "1" : "0");
  }
  // A protein's numbers do not depend on its neighbours.
  program.write("two.fasta", ">two\nB\n");
  program.done({"predict", "--model", golden("models/odd"), "--fasta", "two.fasta", "--out",
                "two.tsv", "--logits", "--quiet"});
  EXPECT_EQ(cells(program.read("two.tsv"), '\t').at(1), rows[7]);
}

TEST(Cli, WritesFilesOnly) {
  auto const program = Program{};
  program.write("one.fasta", ">one\nMKV\n");
  ASSERT_EQ(::mkfifo(program.path("pipe").c_str(), 0600), 0);
  program.write("target.tsv", "old");
  std::filesystem::create_symlink("target.tsv", program.path("link.tsv"));
  auto const predict = [&](std::string const& out) {
    return std::vector<std::string>{"predict", "--model",   golden("models/odd"),
                                    "--fasta", "one.fasta", "--out",
                                    out,       "--quiet"};
  };
  program.refuses(predict("pipe"), {"pipe", "device or pipe"});
  EXPECT_TRUE(std::filesystem::is_fifo(program.path("pipe")));
  program.done(predict("link.tsv"));
  EXPECT_TRUE(std::filesystem::is_symlink(program.path("link.tsv")));
  EXPECT_EQ(cells(program.read("target.tsv"), '\t').size(), 4u);
}

TEST(Cli, SaysWhatMakesItsNumbersDoubtful) {
  auto const program = Program{};
  program.write("one.txt", ">a\nMKV\n000\n");
  auto const evaluated = [&](std::vector<std::string> const& more) {
    return program.done(std::vector<std::string>{"evaluate", "--data", "one.txt"} + more).err;
  };
  auto const expect = [](std::string const& text, std::string const& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text << " lacks " << part;
  };
  expect(evaluated({"--model", golden("models/odd")}), "roc_auc is not a number");
  program.done({"quantize", "--model", golden("models/odd"), "--quant", "nf4", "--out", "small"});
  expect(evaluated({"--model", "small", "--quant", "int8"}), "stays nf4; --quant int8 does not");
  expect(evaluated({"--model", "small", "--adapter", golden("lora/qkv")}),
         "was made for the base model");
  expect(evaluated({"--model", golden("models/odd"), "--adapter", golden("lora/qkv")}),
         "lora/qkv: has no qlora.json");
  EXPECT_EQ(evaluated({"--model", "small"}).find("does not apply"), std::string::npos);
}

TEST(Cli, ChecksItsOutputBeforeItWorks) {
  auto const program = Program{};
  program.write("one.fasta", ">one\nMKV\n");
  auto const predict = [&](std::string const& out) {
    return std::vector<std::string>{"predict", "--model",   golden("models/odd"),
                                    "--fasta", "one.fasta", "--out",
                                    out,       "--quiet"};
  };
  program.refuses(predict("absent/x.tsv"), {"absent/x.tsv", "expected its folder"});
  program.refuses(predict("."), {"found a folder"});
  program.refuses(predict(""), {"found an empty one"});
}

TEST(Cli, PredictsNothingFromABadFile) {
  auto const program = Program{};
  program.write("bad.fasta", ">one\nMK-V\n");
  program.write("sites.tsv", "old");
  program.refuses({"predict", "--model", golden("models/odd"), "--fasta", "bad.fasta", "--out",
                   "sites.tsv", "--quiet"},
                  {"bad.fasta:2", "'-'"});
  EXPECT_EQ(program.read("sites.tsv"), "old");
}

}  // namespace
}  // namespace qlora::testing
