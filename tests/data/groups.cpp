#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/groups.hpp>

#include "reading.hpp"

namespace {
using namespace qlora;
using qlora::testing::refusal;
using qlora::testing::TextFile;
using Names = std::vector<std::string>;

CollectedProtein grouped_protein(std::string id, std::string sequence, Names families) {
  return {.protein = {.id = std::move(id), .sequence = std::move(sequence), .labels = {}},
          .families = std::move(families),
          .file = 1};
}

TEST(GroupNames, AreWhatWasAskedFor) {
  auto const one = grouped_protein("P1", "MK", {"A superfamily, B family", "C family"});
  EXPECT_EQ(group_names(one, GroupBy::superfamily, {}), (Names{"A superfamily", "C family"}));
  EXPECT_EQ(group_names(one, GroupBy::family, {}), (Names{"A superfamily, B family", "C family"}));
  EXPECT_EQ(group_names(one, GroupBy::protein, {}), (Names{"P1"}));
  EXPECT_EQ(group_names(one, GroupBy::clusters, {{"P1", "P7"}}), (Names{"P7"}));
  EXPECT_TRUE(group_names(one, GroupBy::clusters, {{"P2", "P7"}}).empty());
  EXPECT_TRUE(group_names(grouped_protein("P2", "MK", {}), GroupBy::family, {}).empty());
}

TEST(Superfamilies, AreTheFirstFieldOfEachFamily) {
  using Views = std::vector<std::string_view>;
  EXPECT_EQ(superfamilies("Globin family, Two-domain subfamily; Flavoprotein reductase family"),
            (Views{"Globin family", "Flavoprotein reductase family"}));
  EXPECT_EQ(superfamilies("A;B family, C;D; E"), (Views{"A;B family", "E"}));
  EXPECT_EQ(superfamilies("A; ; , B"), (Views{"A"}));
  EXPECT_TRUE(superfamilies("").empty());
  // By its domains a protein ties two superfamilies together; by the card's whole string, none.
  auto const one = grouped_protein("P1", "MK", {"A superfamily, B family; C family"});
  EXPECT_EQ(group_names(one, GroupBy::superfamily, {}), (Names{"A superfamily", "C family"}));
  EXPECT_EQ(group_names(one, GroupBy::family, {}), one.families);
}

TEST(JoinGroups, KeepsTogetherWhatSharesASequenceOrAProtein) {
  auto const proteins =
      std::vector{grouped_protein("1", "AA", {"d"}), grouped_protein("2", "CC", {"b"}),
                  grouped_protein("3", "AA", {"c"}), grouped_protein("4", "DD", {"c", "a"}),
                  grouped_protein("5", "EE", {"e"})};
  auto members = std::vector<CollectedProtein const*>{};
  auto names = std::vector<Names>{};
  for (auto const& one : proteins) {
    members.push_back(&one);
    names.push_back(one.families);
  }
  auto const groups = join_groups(members, names);
  EXPECT_EQ(groups.names, (Names{"a", "b", "e"}));
  EXPECT_EQ(groups.of, (std::vector<std::size_t>{0, 1, 0, 0, 2}));
}

TEST(ReadClusters, ReadsTheTableOfMmseqs) {
  EXPECT_EQ(read_clusters(TextFile{"a\ta\r\na\tb\n\nc\tc\n"}.path()),
            (Clusters{{"a", "a"}, {"b", "a"}, {"c", "c"}}));
  EXPECT_EQ(refusal("", read_clusters), ": expected clusters, found none");
  EXPECT_EQ(refusal("a\n", read_clusters),
            ":1: expected a representative, a tab and a member, found 'a'");
  EXPECT_EQ(refusal("a\tb\tc\n", read_clusters),
            ":1: expected a representative, a tab and a member, found 'a\?b\?c'");
  EXPECT_EQ(refusal("a\tb\nc\tb\n", read_clusters),
            ":2: expected each member once, found 'b' again");
}

}  // namespace
