/// Groups of proteins that must stay on one side of a split.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/collection.hpp>
#include <qlora/data/disjoint_sets.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/uniprot_feature.hpp>

namespace qlora::inline v1 {

/// What makes a group. A `superfamily` is the first field of a family's name, up to a comma: fewer
/// relatives on two sides than with the whole name. A protein of several domains belongs to as
/// many.
enum class GroupBy : std::uint8_t { superfamily, family, clusters, protein };

/// The cluster of each protein, under the name of its representative.
using Clusters = std::unordered_map<std::string, std::string>;

/// MMseqs2's table of clusters: representative, tab, member. Throws InputError for another number
/// of columns, a member in two clusters, and a file without any.
inline Clusters read_clusters(std::filesystem::path const& path) {
  auto const for_each = [&](auto&& use) {
    auto lines = Lines{path};
    while (lines.next()) {
      auto const line = lines.line();
      if (line.empty()) continue;
      auto const tab = line.find('\t');
      auto const representative = line.substr(0, tab);
      auto const member = tab == line.npos ? std::string_view{} : line.substr(tab + 1);
      if (representative.empty() || member.empty() || member.find('\t') != member.npos) {
        lines.fail("expected a representative, a tab and a member, found '" + printable(line, 40) +
                   "'");
      }
      use(lines, representative, member);
    }
  };
  auto seen = IdSet{};  // what is refused takes little memory
  for_each([&](Lines const& lines, std::string_view, std::string_view member) {
    if (seen.insert(member)) return;
    lines.fail("expected each member once, found '" + printable(member) + "' again");
  });
  if (seen.empty()) throw InputError{at(path.string(), "expected clusters, found none")};
  auto clusters = Clusters{};
  for_each([&](Lines const&, std::string_view representative, std::string_view member) {
    clusters.emplace(member, representative);
  });
  return clusters;
}

/// Of each family, as UniProt lists them, `A superfamily, B family; C family`, the first field;
/// nothing of no family.
inline std::vector<std::string_view> superfamilies(std::string_view families) {
  auto names = std::vector<std::string_view>{};
  while (!families.empty()) {
    auto const one = families.substr(0, families.find("; "));
    if (auto const name = detail::trimmed(one.substr(0, one.find(','))); !name.empty()) {
      names.push_back(name);
    }
    families.remove_prefix(std::min(one.size() + 2, families.size()));
  }
  return names;
}

/// Names of the groups that a protein belongs to by itself; none if it has no family or cluster.
inline std::vector<std::string> group_names(CollectedProtein const& one, GroupBy by,
                                            Clusters const& clusters) {
  switch (by) {
    case GroupBy::family:
      return one.families;
    case GroupBy::superfamily: {
      auto names = std::vector<std::string>{};
      for (auto const& family : one.families) {
        for (auto const name : superfamilies(family)) names.emplace_back(name);
      }
      return names;
    }
    case GroupBy::clusters: {
      auto const found = clusters.find(one.protein.id);
      return found == clusters.end() ? std::vector<std::string>{} : std::vector{found->second};
    }
    case GroupBy::protein:
      return {one.protein.id};
  }
  return {};
}

/// The group of each protein, as a number, and the groups' names in alphabetical order.
struct Groups {
  std::vector<std::size_t> of;
  std::vector<std::string> names;
};

/// Joins what must not be separated: all groups that a protein belongs to, and those of proteins
/// with one sequence. A joined group has the first of its names. `names` are those of each protein,
/// at least one.
inline Groups join_groups(std::span<CollectedProtein const* const> proteins,
                          std::span<std::vector<std::string> const> names) {
  auto numbers = std::map<std::string_view, std::size_t>{};
  for (auto const& all : names) {
    for (auto const& name : all) numbers.emplace(name, 0);
  }
  auto sorted = std::vector<std::string_view>{};
  for (auto& [name, number] : numbers) {
    number = sorted.size();
    sorted.push_back(name);
  }

  auto sets = DisjointSets{sorted.size()};
  auto sequences = std::unordered_map<std::string_view, std::size_t>{};
  for (auto i = std::size_t{0}; i < proteins.size(); ++i) {
    auto const first = numbers.at(names[i].front());
    for (auto const& name : names[i]) sets.join(first, numbers.at(name));
    auto const [same, is_new] = sequences.emplace(proteins[i]->protein.sequence, first);
    if (!is_new) sets.join(first, same->second);
  }

  auto groups = Groups{};
  auto number_of_set = std::vector<std::size_t>(sorted.size(), sorted.size());
  auto group_of_name = std::vector<std::size_t>(sorted.size());
  for (auto name = std::size_t{0}; name < sorted.size(); ++name) {
    auto& number = number_of_set[sets.find(name)];
    if (number == sorted.size()) {
      number = groups.names.size();
      groups.names.emplace_back(sorted[name]);
    }
    group_of_name[name] = number;
  }
  for (auto const& all : names) groups.of.push_back(group_of_name[numbers.at(all.front())]);
  return groups;
}

}  // namespace qlora::inline v1
