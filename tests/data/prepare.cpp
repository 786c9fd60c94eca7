#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/prepare.hpp>
#include <qlora/data/write_prepared.hpp>

#include "support/files.hpp"

namespace {
using namespace qlora;
using qlora::testing::message_of;
using qlora::testing::read_file;
using qlora::testing::TemporaryFolder;
using Paths = std::vector<std::filesystem::path>;

std::string row(std::string const& id, std::string const& family, std::string const& sequence,
                std::string const& sites) {
  return id + "\t" + family + "\t" + sequence + "\t" + sites + "\n";
}

/// Thirty entries of ten superfamilies and twenty families; the last has the sequence of the first.
std::string table() {
  auto text = std::string{"Entry\tProtein families\tSequence\tBinding site\n"};
  for (auto i = 0; i < 29; ++i) {
    auto const letter = static_cast<char>('A' + i % 10);
    auto const family = std::string{letter} + " superfamily, " + std::to_string(i % 20) + " family";
    text += row("P" + std::to_string(i), family,
                "M" + std::string(static_cast<std::size_t>(5 + i), 'K') + "V", "BINDING 2..3");
  }
  return text + row("P29", "Z superfamily", "MKKKKKV", "BINDING 1");
}

TEST(Prepare, SplitsWholeSuperfamilies) {
  auto const folder = TemporaryFolder{};
  auto const file = folder.write("u.tsv", table());
  auto const options = PrepareOptions{.chunk_residues = 20};
  auto const out = folder.path() / "out";
  auto const summary = write_prepared(prepare(Paths{file}, options), options, out);
  EXPECT_EQ(summary.at("read"), 30);
  EXPECT_EQ(summary.at("kept"), 30);
  EXPECT_EQ(summary.at("groups"), 10);  // Z joins A
  EXPECT_EQ(summary.at("positives"), 29 * 2 + 1);
  EXPECT_EQ(summary.at("on_two_sides"), (Json{{"groups", 0}, {"sequences", 0}}));
  EXPECT_EQ(summary, Json::parse(read_file(out / "summary.json")));

  auto side_of_group = std::map<std::string, std::string>{};
  auto chunks = std::map<std::string, std::size_t>{};
  auto residues = std::size_t{0};
  auto rows = std::istringstream{read_file(out / "groups.tsv")};
  auto line = std::string{};
  std::getline(rows, line);
  EXPECT_EQ(line, "chunk\tprotein\toffset\tfamily\tgroup\tsplit");
  while (std::getline(rows, line)) {
    auto cells = std::istringstream{line};
    auto cell = std::vector<std::string>(6);
    for (auto& one : cell) std::getline(cells, one, '\t');
    EXPECT_EQ(side_of_group.emplace(cell[4], cell[5]).first->second, cell[5]);
    if (cell[1] == "P29") {
      EXPECT_EQ(cell[4], "A superfamily");
    }
    if (cell[1] == "P27" && cell[2] == "20") {
      EXPECT_EQ(cell[0], "P27/21-34");
    }
    ++chunks[cell[5]];
  }
  for (auto const side : sides) {
    auto const name = std::string{side_name(side)};
    auto const proteins = read_proteins(out / (name + ".txt"));
    EXPECT_EQ(proteins.size(), chunks[name]);
    EXPECT_EQ(summary.at(name).at("chunks"), proteins.size());
    for (auto const& one : proteins) {
      EXPECT_LE(one.sequence.size(), 20u);
      residues += one.sequence.size();
    }
  }
  EXPECT_EQ(summary.at("residues"), residues);
}

TEST(Prepare, CountsWhatItLeavesOut) {
  auto const folder = TemporaryFolder{};
  auto const first = folder.write("1", table() + row("X1", "", "MKL", "BINDING 1") +
                                           row("X2", "A superfamily", "MKL", "BINDING ?") +
                                           row("X3", "A superfamily", "MKL", ""));
  auto const second = folder.write("2", ">P3\nM\n1\n>Q\nMKKKKKKV\n10000000\n");
  auto const summary = write_prepared(prepare(Paths{first, second}, {}), {}, folder.path() / "out");
  EXPECT_EQ(summary.at("read"), 35);
  EXPECT_EQ(summary.at("kept"), 30);
  EXPECT_EQ(summary.at("skipped"), (Json{{"no family", 1},
                                         {"uncertain position", 1},
                                         {"no site that was asked for", 1},
                                         {"identifier of another sequence", 1},
                                         {"merged with a record of an earlier file", 1}}));
  EXPECT_EQ(summary.at("positives"), 29 * 2 + 2);  // Q's first residue is one of P1
}

TEST(Prepare, LeavesOutASideOfNothing) {
  auto const folder = TemporaryFolder{};
  auto const options = PrepareOptions{.group_by = GroupBy::family, .split = {.valid_fraction = 0.}};
  auto const out = folder.path() / "out";
  auto const summary =
      write_prepared(prepare(Paths{folder.write("u", table())}, options), options, out);
  EXPECT_FALSE(std::filesystem::exists(out / "valid.txt"));
  EXPECT_FALSE(summary.contains("valid"));
  EXPECT_EQ(summary.at("groups"), 20);
}

TEST(Prepare, ShiftsLabelsWhereThePublishedCopiesDid) {
  auto const folder = TemporaryFolder{};
  auto options = PrepareOptions{.alignment = LabelAlignment::legacy_shifted};
  auto const out = folder.path() / "out";
  auto const summary =
      write_prepared(prepare(Paths{folder.write("u", table())}, options), options, out);
  EXPECT_EQ(summary.at("label_alignment"), "legacy-shifted");
  for (auto const& one : read_proteins(out / "train.txt")) {
    EXPECT_EQ(one.labels.back(), label_unknown);
    if (one.id != "P29") {
      EXPECT_EQ(one.labels[0] + one.labels[1], 2) << one.id;
    }
  }
}

TEST(Prepare, RefusesWhatCannotBeSplit) {
  auto const folder = TemporaryFolder{};
  auto const file = folder.write("g", ">a\nMK\n01\n");
  auto const says = [&](PrepareOptions const& options) {
    return message_of<InputError>([&] { std::ignore = prepare(Paths{file}, options); });
  };
  EXPECT_EQ(says({}), file.string() +
                          ": expected labelled proteins that can be split, found none (no family "
                          "1); without families, split by clusters or at random");
  auto const fasta = folder.write("f", ">a\nMK\n>b\nMKV\n");
  EXPECT_NE(message_of<InputError>([&] {
              std::ignore = prepare(Paths{fasta}, {});
            }).find("FASTA has no labels"),
            std::string::npos);
  EXPECT_NE(says({.group_by = GroupBy::protein}).find("expected groups"), std::string::npos);
  EXPECT_THROW(prepare(Paths{}, {}), InputError);
  EXPECT_THROW(prepare(Paths{file}, {.chunk_residues = 0}), InputError);
}

TEST(Prepare, WritesAllOrNothing) {
  auto const folder = TemporaryFolder{};
  auto const data = prepare(Paths{folder.write("u", table())}, {});
  folder.write("taken/old", "");
  EXPECT_THROW(write_prepared(data, {}, folder.path() / "taken"), InputError);
  // A protein that is named as another one's chunk.
  auto const clash =
      folder.write("clash", table() + row("P27/1-20", "H superfamily", "MKL", "BINDING 1"));
  auto const out = folder.path() / "out";
  for (auto seed = std::uint64_t{0}; seed < 8; ++seed) {  // on one side, or on two
    auto const options = PrepareOptions{.split = {.seed = seed}, .chunk_residues = 20};
    auto const clashing = prepare(Paths{clash}, options);
    EXPECT_EQ(message_of<InputError>([&] { write_prepared(clashing, options, out); }),
              clash.string() + ": expected no protein of a chunk's name, found 'P27/1-20'");
    EXPECT_FALSE(std::filesystem::exists(out));
  }
  auto const named =
      folder.write("long", table() + row(std::string(longest_id, 'P'), "H superfamily",
                                         std::string(30, 'M'), "BINDING 1"));
  auto const chunks = PrepareOptions{.chunk_residues = 20};
  auto const cut = prepare(Paths{named}, chunks);
  EXPECT_NE(message_of<InputError>([&] {
              write_prepared(cut, chunks, out);
            }).find("leave room for the residues of a chunk"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(out));
  struct Stop {};
  EXPECT_THROW(write_prepared(data, {}, out, [] { throw Stop{}; }), Stop);
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
