/// Prepared data as files: three lines a chunk, where each comes from, and counts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/data/chunk.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/legacy_alignment.hpp>
#include <qlora/data/prepare.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/split.hpp>
#include <qlora/data/three_line.hpp>

namespace qlora::inline v1 {

namespace detail {

/// What summary.json says of a side, or of all.
struct SideCounts {
  std::size_t proteins = 0, chunks = 0, residues = 0, positives = 0, negatives = 0;
  std::unordered_set<std::size_t> groups;

  void add(Protein const& chunk) {
    ++chunks;
    residues += chunk.sequence.size();
    positives += static_cast<std::size_t>(std::ranges::count(chunk.labels, label_positive));
    negatives += static_cast<std::size_t>(std::ranges::count(chunk.labels, label_negative));
  }
  SideCounts& operator+=(SideCounts const& other) {
    proteins += other.proteins;
    chunks += other.chunks;
    residues += other.residues;
    positives += other.positives;
    negatives += other.negatives;
    groups.insert(other.groups.begin(), other.groups.end());
    return *this;
  }
  Json json() const {
    return {{"kept", proteins},
            {"chunks", chunks},
            {"residues", residues},
            {"positives", positives},
            {"negatives", negatives},
            {"groups", groups.size()},
            {"unknown", residues - positives - negatives}};
  }
};

/// How many sequences stand on more than one side; none, unless the split is broken.
inline std::size_t sequences_on_two_sides(PreparedData const& data) {
  auto first_side = std::unordered_map<std::string_view, Side>{};
  auto shared = std::unordered_set<std::string_view>{};
  for (auto i = std::size_t{0}; i < data.proteins.size(); ++i) {
    auto const& sequence = data.proteins[i].protein.sequence;
    if (first_side.emplace(sequence, data.side_of(i)).first->second != data.side_of(i)) {
      shared.insert(sequence);
    }
  }
  return shared.size();
}

/// Text as a cell of a table.
inline std::string cell(std::string text) {
  std::ranges::replace(text, '\t', ' ');
  return text;
}

/// Names a chunk of a protein that was cut `ID/FIRST-LAST`, residues from 1. Throws InputError for
/// a name that is taken, or too long.
inline void name_chunk(Protein& chunk, Protein const& whole, std::size_t offset, IdSet& names,
                       std::string_view file) {
  if (chunk.sequence.size() == whole.sequence.size()) return;
  chunk.id +=
      "/" + std::to_string(offset + 1) + "-" + std::to_string(offset + chunk.sequence.size());
  if (chunk.id.size() > longest_id) {
    throw InputError{at(file,
                        "expected identifiers that leave room for the residues of a chunk, "
                        "found one of " +
                            std::to_string(whole.id.size()) + " bytes")};
  }
  if (names.insert(chunk.id)) return;
  throw InputError{
      at(file, "expected no protein of a chunk's name, found '" + printable(chunk.id) + "'")};
}

}  // namespace detail

/// Fills a new folder with train.txt, valid.txt and test.txt (three lines a chunk; none for a
/// fraction of 0), groups.tsv (where each chunk comes from and went) and summary.json, which is
/// returned. On any error the folder is as it was. Throws InputError for a folder that holds
/// something, SystemError, and what `before_chunk` throws.
inline Json write_prepared(
    PreparedData data, PrepareOptions const& options, std::filesystem::path const& folder,
    std::function<void()> const& before_chunk = [] {}) {
  auto output = OutputFolder{folder};
  auto const shared = detail::sequences_on_two_sides(data);
  auto rows = std::string{"chunk\tprotein\toffset\tfamily\tgroup\tsplit\n"};
  auto total = detail::SideCounts{};
  auto summary = Json::object();
  auto read = std::size_t{0};
  auto names = IdSet{};  // of all sides, since groups.tsv lists them together
  for (auto const& one : data.proteins) names.insert(one.protein.id);
  for (auto const side : sides) {
    auto const name = std::string{side_name(side)};
    auto numbers = std::vector<std::size_t>{};
    auto proteins = std::vector<Protein>{};
    for (auto i = std::size_t{0}; i < data.proteins.size(); ++i) {
      if (data.side_of(i) != side) continue;
      numbers.push_back(i);
      proteins.push_back(std::move(data.proteins[i].protein));
    }
    if (proteins.empty()) continue;
    auto chunks = chunk(proteins, options.chunk_residues);
    auto counts = detail::SideCounts{};
    counts.proteins = proteins.size();
    for (auto i = std::size_t{0}; i < chunks.proteins.size(); ++i) {
      auto& one = chunks.proteins[i];
      auto const& [protein, offset] = chunks.origins[i];
      auto const number = numbers[protein];
      auto const group = data.groups.of[number];
      detail::name_chunk(one, proteins[protein], offset, names,
                         data.inputs[data.proteins[number].file].file);
      if (options.alignment == LabelAlignment::legacy_shifted) shift_labels_as_published(one);
      counts.add(one);
      counts.groups.insert(group);
      auto family = std::string{};
      for (auto const& one_name : data.proteins[number].families) {
        family.append(family.empty() ? "" : "; ").append(one_name);
      }
      rows.append(one.id).append("\t").append(proteins[protein].id).append("\t");
      rows.append(std::to_string(offset)).append("\t");
      rows.append(family.empty() ? "-" : detail::cell(family)).append("\t");
      rows.append(detail::cell(data.groups.names[group])).append("\t").append(name).append("\n");
    }
    write_three_line(output.file(name + ".txt"), chunks.proteins, before_chunk);
    summary[name] = counts.json();
    total += counts;
  }
  write_atomically(output.file("groups.tsv"), rows);

  summary.update(total.json());
  auto inputs = Json::array();
  for (auto const& input : data.inputs) {
    read += input.records;
    inputs.push_back({{"file", input.file},
                      {"format", std::string{format_name(input.format)}},
                      {"read", input.records}});
  }
  summary["inputs"] = std::move(inputs);
  summary["read"] = read;
  summary["skipped"] = Json::object();
  for (auto const& [reason, count] : data.skipped) summary["skipped"][reason] = count;
  auto on_two_sides = std::size_t{0};
  for (auto const side : sides) {
    auto const found = summary.find(side_name(side));
    if (found != summary.end()) on_two_sides += found->at("groups").get<std::size_t>();
  }
  summary["on_two_sides"] = {{"groups", on_two_sides - total.groups.size()}, {"sequences", shared}};
  summary["label_alignment"] =
      options.alignment == LabelAlignment::residue ? "residue" : "legacy-shifted";
  summary["seed"] = options.split.seed;
  write_atomically(output.file("summary.json"),
                   summary.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  output.keep();
  return summary;
}

}  // namespace qlora::inline v1
