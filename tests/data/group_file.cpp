#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/group_file.hpp>

#include "reading.hpp"
#include "support/errors.hpp"

namespace {
using namespace qlora;
using qlora::testing::refusal;
using qlora::testing::TextFile;

auto const header = std::string{GroupFile::header} + "\n";

std::vector<Protein> named(std::vector<std::string> const& ids) {
  auto proteins = std::vector<Protein>{};
  for (auto const& id : ids) proteins.push_back({.id = id, .sequence = "M", .labels = {0}});
  return proteins;
}

TEST(GroupFile, NumbersGroupsAsTheyAppear) {
  auto const text = TextFile{header +
                             "P1/1\tP1\t0\tA family\tA\ttest\r\nP1/2\tP1\t1000\tA family\tA\ttest\n"
                             "\nP2\tP2\t0\tB family\tB\ttrain\n"};
  auto const file = GroupFile{text.path()};
  auto const groups = ProteinGroups::of(named({"P2", "P1/2", "P1", "P1/1"}), file);
  EXPECT_EQ(groups.of_protein, (std::vector<std::uint32_t>{0, 1, 1, 1}));
  EXPECT_EQ(groups.names, (std::vector<std::string>{"B", "A"}));
  EXPECT_EQ(file.find("P2")->split, "train");
  EXPECT_EQ(file.find("P3"), nullptr);
}

TEST(GroupFile, LeavesEachProteinAloneWithoutAFile) {
  auto const groups = ProteinGroups::of_each(named({"a", "b"}));
  EXPECT_EQ(groups.of_protein, (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(groups.names, (std::vector<std::string>{"a", "b"}));
}

TEST(GroupFile, RefusesWhatIsNone) {
  auto const refused = [](std::string const& text) {
    return refusal(text, [](auto const& path) { GroupFile{path}; });
  };
  EXPECT_NE(refused("protein\tgroup\n").find("expected the columns chunk, protein"),
            std::string::npos);
  EXPECT_NE(refused("").find("expected the columns"), std::string::npos);
  EXPECT_NE(refused(header + "a\ta\t0\tA\n").find(":2: expected 6 cells"), std::string::npos);
  EXPECT_NE(refused(header + "a\ta\t0\tA\tA\ttest\tx\n").find(":2: expected 6 cells"),
            std::string::npos);
  EXPECT_NE(refused(header + "\ta\t0\tA\tA\ttest\n").find("identifier of a chunk"),
            std::string::npos);
  EXPECT_NE(refused(header + "a\ta\t0\tA\t\ttest\n").find("expected a group"), std::string::npos);
  EXPECT_NE(refused(header + "a\tp\t0\tA\tA\ttest\nb\tp\t9\tB\tB\ttest\n")
                .find(":3: expected 'p' in one group, found another: 'B'"),
            std::string::npos);
  auto const text = TextFile{header + "a\ta\t0\tA\tA\ttest\n"};
  auto const file = GroupFile{text.path()};
  auto const message =
      qlora::testing::message_of<InputError>([&] { ProteinGroups::of(named({"b"}), file); });
  EXPECT_NE(message.find("expected a group of 'b', found none"), std::string::npos) << message;
}

}  // namespace
