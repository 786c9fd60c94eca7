/// What the readers of data files must hold for any bytes whatever: they accept or throw
/// InputError, and every record that they deliver is sound.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include <qlora/data/group_file.hpp>
#include <qlora/data/groups.hpp>
#include <qlora/data/read.hpp>
#include <qlora/predict/structure.hpp>

#include "fuzz/model_files.hpp"

namespace qlora::fuzz {

inline void sound(AnnotatedProtein const& protein) {
  auto const residues = protein.sequence.size();
  require(!protein.id.empty() && protein.id.find_first_of(" \t\n") == protein.id.npos);
  require(residues > 0);
  require(std::ranges::all_of(protein.sequence, [](char c) { return c >= 'A' && c <= 'Z'; }));
  require(protein.labels.empty() || protein.labels.size() == residues);
  for (auto const& site : protein.sites) {
    if (site.placing != Placing::exact) continue;
    require(1 <= site.first && site.first <= site.last && site.last <= residues);
  }
  for (auto const evidence : {Evidence::any, Evidence::experimental}) {
    auto const [labels, skipped] = label(protein, {.evidence = evidence});
    require(skipped.empty() ? labels.size() == residues : labels.empty());
  }
}

inline bool data_file(std::string_view bytes, DataFormat format) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    auto records = std::size_t{0};
    for_each_annotated(memory.path(), format, [&](AnnotatedProtein const& protein) {
      sound(protein);
      ++records;
    });
    require(records > 0);
  });
}

/// In whatever format it is, gzip-compressed or not.
inline bool any_data_file(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    for_each_annotated(memory.path(), recognise(memory.path()),
                       [&](AnnotatedProtein const& protein) { sound(protein); });
  });
}

inline bool clusters(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] { require(!read_clusters(memory.path()).empty()); });
}

inline bool groups(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    auto const file = GroupFile{memory.path()};
    require(file.find("") == nullptr);
  });
}

inline bool structure(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    auto const read = predict::Structure::read(memory.path());
    auto values = std::vector<std::vector<float>>{};
    for (auto const& chain : read.chains()) {
      require(!chain.sequence.empty());
      values.emplace_back(chain.sequence.size(), .5f);
    }
    require(!read.with_b_factors(values).empty());
  });
}

}  // namespace qlora::fuzz
