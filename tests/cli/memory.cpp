// qlora memory: what runs will take.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

/// Rows of the table, by model, their cells two blanks or more apart.
std::map<std::string, std::vector<std::string>> rows(std::string const& text) {
  auto rows = std::map<std::string, std::vector<std::string>>{};
  for (auto const& line : cells(text, '\n')) {
    if (line.empty()) continue;
    auto parts = std::vector<std::string>{};
    auto rest = line[0];
    while (!rest.empty()) {
      auto const gap = rest.find("  ");
      parts.push_back(rest.substr(0, gap));
      auto const next = gap == std::string::npos ? gap : rest.find_first_not_of(' ', gap);
      rest = next == std::string::npos ? "" : rest.substr(next);
    }
    rows[parts[0]] = parts;
  }
  return rows;
}

TEST(Memory, ListsEverySize) {
  auto const program = Program{};
  auto table = rows(program.done({"memory", "--placement", "qkv"}).out);
  EXPECT_EQ(table["ESM-2 8M"].at(2), "23682");
  EXPECT_EQ(table["35M"].at(2), "70082");
  EXPECT_EQ(table["650M"].at(2), "509442");
  EXPECT_EQ(table["15B"].at(2), "2959362");
  auto const peak = [&](std::string const& size) { return std::stod(table[size].at(6)); };
  EXPECT_GT(peak("15B"), 2 * peak("3B"));
  auto less = rows(program.done({"memory", "--placement", "qkv", "--recompute"}).out);
  EXPECT_LT(std::stod(less["650M"].at(6)), .5 * peak("650M"));
}

TEST(Memory, CountsThePassesOfData) {
  auto const program = Program{};
  auto const model = golden("models/odd");
  program.write("d.txt", ">a\nMKV\n010\n>b\nMKVAA\n-1-00\n");
  auto const predicted = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"memory", "--model", model});
    auto const outcome = program.done(flags);
    return std::pair{std::stod(rows(outcome.out)[model].at(5)), outcome.err};
  };
  auto const of_data = predicted({"--train", "d.txt"});
  auto const allowed = predicted({});
  EXPECT_LT(of_data.first, .1 * allowed.first);
  EXPECT_NE(of_data.second.find("passes of at most 12 tokens,"), std::string::npos);
  // Of two records one each; of tokens a pass may have nearly all, of sequences half.
  EXPECT_NE(predicted({"--train", "d.txt", "--accumulate", "2"}).second.find("most 7 tokens,"),
            std::string::npos);
  EXPECT_EQ(predicted({"--accumulate", "2"}).first, allowed.first);
  auto const sequences = predicted({"--batch-sequences", "4", "--accumulate", "2"});
  EXPECT_NE(sequences.second.find("at most 2004 tokens (--train"), std::string::npos);
  program.refuses({"memory", "--device", "cuda"}, {"--device: expected cpu"});
}

TEST(Memory, ReadsAModelsSizes) {
  auto const program = Program{};
  auto const model = golden("models/odd");
  auto table = rows(program.done({"memory", "--model", model}).out);
  ASSERT_EQ(table.size(), 3u);  // with the heading and its line
  EXPECT_EQ(table[model].at(1), "46952");
  EXPECT_EQ(program.run({"memory", "--model", "nowhere"}).status, 2);
  EXPECT_EQ(program.run({"memory", "--alpha", "nan"}).status, 2);
}

}  // namespace
}  // namespace qlora::testing
