/// From files of annotated proteins to proteins with labels and sides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/collection.hpp>
#include <qlora/data/groups.hpp>
#include <qlora/data/labels.hpp>
#include <qlora/data/read.hpp>
#include <qlora/data/split.hpp>

namespace qlora::inline v1 {

enum class LabelAlignment : std::uint8_t { residue, legacy_shifted };

struct PrepareOptions {
  LabelPolicy labels{};
  GroupBy group_by = GroupBy::superfamily;
  std::filesystem::path clusters{};  ///< MMseqs2's table, for GroupBy::clusters
  SplitOptions split{};
  std::size_t chunk_residues = 1000;
  LabelAlignment alignment = LabelAlignment::residue;
};

namespace skip_reason {
inline constexpr auto merged = std::string_view{"merged with a record of an earlier file"};
inline constexpr auto contradicts = std::string_view{"identifier of another sequence"};
inline constexpr auto no_family = std::string_view{"no family"};
inline constexpr auto no_cluster = std::string_view{"no cluster"};
}  // namespace skip_reason

/// What was read of a file.
struct InputCount {
  std::string file;
  DataFormat format;
  std::size_t records = 0;
};

/// Labelled proteins and the side that each of their groups goes to.
struct PreparedData {
  std::vector<InputCount> inputs;
  SkipCounts skipped;
  std::deque<CollectedProtein> proteins;
  Groups groups;            ///< of `proteins`
  std::vector<Side> sides;  ///< of the groups

  Side side_of(std::size_t protein) const { return sides[groups.of[protein]]; }
};

namespace detail {

/// Leaves out proteins without a group, and groups the others.
inline void group_proteins(PreparedData& data, PrepareOptions const& options) {
  auto const by_clusters = options.group_by == GroupBy::clusters;
  auto const clusters = by_clusters ? read_clusters(options.clusters) : Clusters{};
  auto kept = std::deque<CollectedProtein>{};
  auto names = std::vector<std::vector<std::string>>{};
  for (auto& one : data.proteins) {
    if (auto own = group_names(one, options.group_by, clusters); !own.empty()) {
      names.push_back(std::move(own));
      kept.push_back(std::move(one));
    } else {
      ++data.skipped[std::string{by_clusters ? skip_reason::no_cluster : skip_reason::no_family}];
    }
  }
  data.proteins = std::move(kept);
  auto members = std::vector<CollectedProtein const*>{};
  for (auto const& one : data.proteins) members.push_back(&one);
  data.groups = join_groups(members, names);
}

/// Throws InputError when nothing is left, with what became of the records.
inline void require_proteins(PreparedData const& data) {
  if (!data.proteins.empty()) return;
  auto reasons = std::string{};
  for (auto const& [reason, count] : data.skipped) {
    reasons += (reasons.empty() ? "" : ", ") + reason + " " + std::to_string(count);
  }
  auto const is_fasta = std::ranges::any_of(
      data.inputs, [](InputCount const& input) { return input.format == DataFormat::fasta; });
  throw InputError{at(
      data.inputs.front().file,
      "expected labelled proteins that can be split, found none (" + reasons + "); " +
          (is_fasta ? "FASTA has no labels" : "without families, split by clusters or at random"))};
}

}  // namespace detail

/// Reads files in any format, labels their proteins, merges what recurs, and splits them by whole
/// groups. Throws InputError for a file that cannot be used, options that make no sense, and when
/// nothing is left to be split.
inline PreparedData prepare(std::span<std::filesystem::path const> files,
                            PrepareOptions const& options) {
  check(options.labels);
  if (files.empty()) throw InputError{"prepare: expected files, found none"};
  if (options.chunk_residues == 0) throw InputError{"chunk: expected at least 1 residue, found 0"};
  auto data = PreparedData{};
  auto collection = Collection{};
  auto const skip = [&](std::string_view reason) { ++data.skipped[std::string{reason}]; };
  // Whole, before anything is kept: what is refused takes no memory.
  for (auto const& file : files) {
    auto const& input = data.inputs.emplace_back(file.string(), recognise(file));
    for_each_annotated(file, input.format, [](AnnotatedProtein const&) {});
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    for_each_annotated(files[i], data.inputs[i].format, [&](AnnotatedProtein&& record) {
      ++data.inputs[i].records;
      auto labelling = label(record, options.labels);
      if (!labelling.skipped.empty()) return skip(labelling.skipped);
      auto const outcome = collection.add({.id = std::move(record.id),
                                           .sequence = std::move(record.sequence),
                                           .labels = std::move(labelling.labels)},
                                          record.family, i);
      if (outcome == Collection::Outcome::merged) skip(skip_reason::merged);
      if (outcome == Collection::Outcome::contradicts) skip(skip_reason::contradicts);
    });
  }
  data.proteins = collection.take();
  detail::group_proteins(data, options);
  detail::require_proteins(data);
  auto sizes = std::vector<std::size_t>(data.groups.names.size());
  for (auto const group : data.groups.of) ++sizes[group];
  data.sides = split_groups(sizes, options.split);
  return data;
}

}  // namespace qlora::inline v1
