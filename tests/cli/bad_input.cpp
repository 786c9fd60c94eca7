// Files that cannot be used, through every command that takes files of their kind: status 2, one
// sentence that names the file, and nothing written.
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {
using namespace std::string_literals;
namespace fs = std::filesystem;
using Flags = std::vector<std::string>;

struct BadFile {
  std::string name, content, says;
};

std::vector<std::string> commands(std::string const& command, std::string const& data) {
  auto const model = golden("models/odd");
  auto const good = golden("train/data.txt");
  if (command == "train") {
    return {"train", "--model", model, "--train", data, "--valid", good, "--out", "out", "--quiet"};
  }
  if (command == "compare") {
    return {"compare", "--model", model, "--train", good,  "--test",
            data,      "--seeds", "1",   "--out",   "out", "--quiet"};
  }
  if (command == "evaluate") return {"evaluate", "--model", model, "--data", data, "--out", "out"};
  if (command == "predict") return {"predict", "--model", model, "--fasta", data, "--out", "out"};
  if (command == "prepare") return {"prepare", "--input", data, "--out", "out"};
  if (command != "inspect") ADD_FAILURE() << command;
  return {"inspect", data};
}

/// Nothing but `kept` is in the program's folder.
void expect_nothing_left(Program const& program, std::vector<std::string> const& kept) {
  for (auto const& entry : std::filesystem::directory_iterator{program.path("")}) {
    auto const name = entry.path().filename().string();
    if (name == "stdout.txt" || name == "stderr.txt") continue;
    EXPECT_NE(std::ranges::find(kept, name), kept.end()) << name << " was left behind";
  }
}

void expect_refused(BadFile const& file, std::vector<std::string> const& all) {
  for (auto const& command : all) {
    SCOPED_TRACE(command + " " + file.name);
    auto const program = Program{};
    program.write(file.name, file.content);
    program.refuses(commands(command, file.name), {file.name, file.says});
    expect_nothing_left(program, {file.name});
  }
}

TEST(BadInput, OfSequences) {
  auto const files = std::vector<BadFile>{
      {"gap.fasta", ">a\nMK-V\n", "gap.fasta:2"},
      {"inner.fasta", ">a\nMK*V\n", "inner.fasta:2"},
      {"digit.fasta", ">a\nMK1V\n", "digit.fasta:2"},
      {"nul.fasta", ">a\nMK\0V\n"s, "nul.fasta:2"},
      {"empty.fasta", ">a\n>b\nMK\n", "empty.fasta"},
      {"nameless.fasta", ">\nMK\n", "nameless.fasta:1"},
      {"long.fasta", ">" + std::string(1001, 'a') + "\nMK\n", "long.fasta:1"},
      {"twice.fasta", ">a\nMK\n>a\nMK\n", "again"},
      {"headless.fasta", "MK\nVL\n", "headless.fasta"},
      {"nothing.fasta", "", "nothing.fasta"},
      {"cut.fasta.gz", "\x1f\x8b\x08\0\0\0\0\0"s, "cut.fasta.gz"},
  };
  for (auto const& file : files) expect_refused(file, {"predict", "inspect"});
}

TEST(BadInput, OfLabelledProteins) {
  auto const tsv = "Entry\tSequence\tBinding site\n"s;
  auto const files = std::vector<BadFile>{
      {"short.txt", ">a\nMKV\n01\n", "expected 3 labels"},
      {"label.txt", ">a\nMK\n02\n", "label.txt:3"},
      {"letter.txt", ">a\nM?\n01\n", "letter.txt:2"},
      {"cut.txt", ">a\nMK\n01\n>b\nMK\n", "cut.txt"},
      {"fields.csv", "1abc;A;K2;MK\n1abd;A\n", "fields.csv:2"},
      {"place.csv", "1abc;A;K9;MK\n", "place.csv:1"},
      {"acid.csv", "1abc;A;K2;MK*\n", "acid.csv:1"},
      {"entry.dat", "ID   A\nAC   P1;\nSQ   SEQUENCE   3 AA;\n     MK\n//\n", "entry.dat:5"},
      {"open.dat", "ID   A\nAC   P1;\n", "expected the entry to end with //"},
      {"code.dat", "ID   A\nAC   P1;\nFX   BINDING         2\n", "code.dat:3"},
      {"column.tsv", "Entry\tLength\nP1\t2\n", "column.tsv"},
      {"zero.tsv", tsv + "P1\tMK\tBINDING 0\n", "zero.tsv:2"},
      {"beyond.tsv", tsv + "P1\tMK\tBINDING 3\n", "beyond.tsv:2"},
      {"reversed.tsv", tsv + "P1\tMK\tBINDING 2..1\n", "reversed.tsv:2"},
      {"overflow.tsv", tsv + "P1\tMK\tBINDING 99999999999999999999\n", "overflow.tsv:2"},
      {"count.tsv", tsv + "P1\tMK\n", "count.tsv:2"},
      {"tabs.tsv", "Entry\tSequence\tBinding site" + std::string(10'000, '\t') + "\n",
       "tabs.tsv:1"},
      {"quote.tsv", tsv + "P1\tMK\t\"BINDING 1\n", "quote.tsv"},
      {"twice.tsv", tsv + "P1\tMK\tBINDING 1\nP1\tMK\tBINDING 1\n", "twice.tsv:3"},
      {"call.pkl", "cos\nsystem\n(S'true'\ntR.", "call.pkl:1"},
  };
  for (auto const& file : files) {
    expect_refused(file, {"train", "compare", "evaluate", "prepare", "inspect"});
  }
}

TEST(BadInput, OfPickledLists) {
  auto const good = "\x80\2](](K\0K\1ee."s;
  auto const data = std::vector<BadFile>{
      {"sequences.pkl", "\x80\2cos\nsystem\n(X\4\0\0\0truetR."s, "os.system"},
      {"sequences.pkl", "\x80\2](X\3\0\0\0MKVe."s, "labels"},
      {"sequences.pkl", "\x80\2](X\2\0\0\0MKe"s, "found the end"},
  };
  for (auto const& [name, content, says] : data) {
    for (auto const* const command : {"train", "compare", "evaluate", "prepare", "inspect"}) {
      SCOPED_TRACE(std::string{command} + " " + says);
      auto const program = Program{};
      program.write(name, content);
      program.write("labels.pkl", good);
      program.refuses(commands(command, name), {says});
      expect_nothing_left(program, {name, "labels.pkl"});
    }
  }
}

/// Copies of a golden folder, each damaged by one of these.
struct Damage {
  std::string file;
  std::function<void(std::string&)> apply;
  std::string says;
  bool says_shard = false;  ///< not the file, but one that it names
};

std::function<void(std::string&)> replaced(std::string const& what, std::string const& by) {
  return [=](std::string& text) {
    auto const at = text.find(what);
    ASSERT_NE(at, text.npos) << what;
    text.replace(at, what.size(), by);
  };
}
std::function<void(std::string&)> become(std::string const& content) {
  return [=](std::string& text) { text = content; };
}
auto const halved = [](std::string& text) { text.resize(text.size() / 2); };
auto const poisoned = [](std::string& text) { text.replace(text.size() - 4, 4, 4, '\xff'); };

void expect_folder_refused(std::string const& original, Damage const& damage,
                           std::vector<std::vector<std::string>> const& all) {
  for (auto const& command : all) {
    SCOPED_TRACE(command.front() + " " + damage.file + " " + damage.says);
    auto const program = Program{};
    std::filesystem::copy(golden(original), program.path("bad"));
    auto content = program.read("bad/" + damage.file);
    damage.apply(content);
    program.write("bad/" + damage.file, content);
    program.refuses(command, {damage.says_shard ? "bad/" : damage.file, damage.says});
    expect_nothing_left(program, {"bad"});
  }
}

TEST(BadInput, OfModels) {
  auto const data = golden("train/data.txt");
  auto const commands = std::vector<std::vector<std::string>>{
      {"train", "--model", "bad", "--train", data, "--out", "out", "--quiet"},
      {"evaluate", "--model", "bad", "--data", data},
      {"predict", "--model", "bad", "--fasta", data, "--out", "out"},
      {"quantize", "--model", "bad", "--out", "out"},
      {"merge", "--model", "bad", "--adapter", golden("lora/all"), "--out", "out"},
  };
  auto const weights = "model.safetensors"s;
  auto const config = "config.json"s;
  auto const damages = std::vector<Damage>{
      {weights, halved, weights},
      {weights, become(""), weights},
      {weights, become("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
       weights},
      {weights, replaced("\"F32\"", "\"F99\""), "F99"},
      {weights, replaced("data_offsets", "data_offsetz"), weights},
      {weights, [](std::string& bytes) { bytes += "more"; }, weights},
      {weights, poisoned, "NaN or infinity"},
      {config, become("{"), "invalid JSON"},
      {config, replaced("\"hidden_size\": ", "\"hidden_size\": -"), "hidden_size"},
      {config, replaced("\"model_type\": \"esm\"", "\"model_type\": \"bert\""), "model_type"},
      {config, replaced("\"layer_norm_eps\": ", "\"layer_norm_eps\": 1e999, \"x\": "), config},
  };
  for (auto const& damage : damages) expect_folder_refused("models/odd", damage, commands);
}

TEST(BadInput, OfShardIndices) {
  auto const index = "model.safetensors.index.json"s;
  auto const command = std::vector<std::vector<std::string>>{
      {"predict", "--model", "bad", "--fasta", golden("train/data.txt"), "--out", "out"},
      {"quantize", "--model", "bad", "--out", "out"}};
  auto const shard = "model-00001-of-"s;
  for (auto const& damage :
       std::vector<Damage>{{index, replaced(shard, "../" + shard), "plain file name"},
                           {index, replaced(shard, "/etc/" + shard), "plain file name"},
                           {index, replaced(shard, "absent-of-"), "absent-of-", true},
                           {index, become("{\"weight_map\": {}}"), "weight_map"},
                           {index, become("[" + std::string(100'000, '[')), "deep"}}) {
    expect_folder_refused("models/odd_sharded", damage, command);
  }
}

TEST(BadInput, OfAdapters) {
  auto const data = golden("train/data.txt");
  auto const model = golden("models/odd");
  auto const commands = std::vector<std::vector<std::string>>{
      {"evaluate", "--model", model, "--adapter", "bad", "--data", data},
      {"predict", "--model", model, "--adapter", "bad", "--fasta", data, "--out", "out"},
      {"merge", "--model", model, "--adapter", "bad", "--out", "out"},
      {"inspect", "bad", "--model", model},
  };
  auto const config = "adapter_config.json"s;
  auto const weights = "adapter_model.safetensors"s;
  for (auto const& damage : std::vector<Damage>{
           {weights, halved, weights},
           {weights, poisoned, "NaN or infinity"},
           {weights, replaced("lora_A", "lora_C"), weights},
           {config, become("[]"), config},
           {config, replaced("\"r\": 3", "\"r\": 0"), "r"},
           {config, replaced("\"lora_alpha\": 5", "\"lora_alpha\": \"5\""), "lora_alpha"},
           {config, replaced("\"use_dora\": false", "\"use_dora\": true"), "use_dora"}}) {
    expect_folder_refused("lora/all", damage, commands);
  }
}

TEST(BadInput, IsOneSentenceThoughSomethingWasNoted) {
  auto const program = Program{};
  program.write("sites.tsv",
                "Entry\tSequence\tBinding site\nP1\tMKV\tBINDING 2\nP2\tMKV\tBINDING ?\n");
  program.refuses({"evaluate", "--model", "absent", "--data", "sites.tsv"}, {"absent"});
  program.refuses({"train", "--model", "absent", "--train", "sites.tsv", "--out", "out"},
                  {"absent"});
  auto const said =
      program.done({"evaluate", "--model", golden("models/odd"), "--data", "sites.tsv"});
  EXPECT_NE(said.err.find("sites.tsv: skipped 1 record: uncertain position"), std::string::npos)
      << said.err;
}

TEST(BadInput, OfFlags) {
  auto const program = Program{};
  auto const train =
      Flags{"train", "--model", golden("models/odd"), "--train", golden("train/data.txt"),
            "--out", "out"};
  for (auto const* const flag : {"--lr", "--alpha", "--dropout", "--weight-decay", "--clip"}) {
    program.refuses(train + Flags{flag, ""}, {flag, "expected a number"});
    program.refuses(train + Flags{flag, "nan"}, {flag, "expected a number"});
  }
  for (auto const* const flag : {"--train", "--model", "--valid", "--init-adapter", "--groups"}) {
    program.refuses(train + Flags{flag, ""}, {flag, "expected a name, found an empty one"});
  }
  program.write("s.toml", "rank = [1]\n");
  program.refuses({"sweep", "--model", golden("models/odd"), "--train", golden("train/data.txt"),
                   "--valid", "", "--space", "s.toml", "--out", "out"},
                  {"--valid", "empty"});
  program.write("p.fasta", ">p\nMKVLAAGGMKVLAAGG\n");
  auto const predict =
      Flags{"predict", "--model", golden("models/odd"), "--fasta", "p.fasta", "--out", "o.tsv"};
  program.refuses(predict + Flags{"--window", "10", "--window-margin", "9223372036854775808"},
                  {"window"});
  program.refuses(predict + Flags{"--threshold", "nan"}, {"--threshold"});
  program.refuses(predict + Flags{"--adapter", ""}, {"--adapter", "empty"});
  for (auto const* const flag : {"--test-percent", "--valid-percent", "--members"}) {
    program.refuses({"synth", "--out", "out", flag, "4294967295"}, {flag});
  }
  program.refuses({"memory", "--batch-tokens", "9223372036854775807"}, {"--batch-tokens"});
  program.refuses({"memory", "--max-length", "9223372036854775807"}, {"--max-length"});
  EXPECT_FALSE(fs::exists(program.path("out")));
  EXPECT_FALSE(fs::exists(program.path("o.tsv")));
}

TEST(BadInput, OfOutputFolders) {
  auto const program = Program{};
  fs::create_symlink("nowhere", program.path("link"));
  program.write("file", "");
  program.write("foreign/notes.txt", "mine");
  program.write("downloads/film.part", "mine");
  program.write("tool/config.toml", "depth = 3\n");
  program.write("study/config.toml", "arms = \"qkv\"\ntrain = \"t\"\n");  // that was interrupted
  auto deep = std::string{};
  for (auto i = 0; i < 20'000; ++i) deep += "a/";
  auto const train =
      Flags{"train",   "--model", golden("models/odd"), "--train", golden("train/data.txt"),
            "--quiet", "--out"};
  for (auto const* const out :
       {"link", "link/below", "file", "file/below", "foreign", "downloads", "tool", "study"}) {
    program.refuses(train + Flags{out, "--resume"}, {out});
    program.refuses({"synth", "--families", "8", "--out", out}, {out});
  }
  program.refuses({"synth", "--families", "8", "--out", deep}, {"File name too long"});
  EXPECT_TRUE(fs::is_symlink(program.path("link")));
  EXPECT_FALSE(fs::exists(program.path("nowhere")));
  for (auto const* const folder : {"foreign", "downloads", "tool", "study"}) {
    EXPECT_EQ(std::distance(fs::directory_iterator{program.path(folder)}, {}), 1) << folder;
  }
}

TEST(BadInput, OfNamesOfFilesIsOneLine) {
  auto const program = Program{};
  program.write("two\nlines.fasta", "x");
  program.refuses({"inspect", "two\nlines.fasta"}, {"two?lines.fasta"});
}

}  // namespace
}  // namespace qlora::testing
