/// What two files of proteins share: leaks between training and test data, mostly.
#pragma once

#include <algorithm>
#include <cstddef>

#include <qlora/data/annotation.hpp>
#include <qlora/data/groups.hpp>
#include <qlora/data/id_set.hpp>

namespace qlora::inline v1 {

/// Identifiers, sequences and superfamilies of a file, in some 60 bytes a record.
struct Contents {
  IdSet ids, sequences, superfamilies;

  void add(AnnotatedProtein const& protein) {
    ids.insert(protein.id);
    sequences.insert(protein.sequence);
    for (auto const name : v1::superfamilies(protein.family)) superfamilies.insert(name);
  }
};

/// Records of one file whose likes are in another.
struct Overlap {
  std::size_t records = 0;
  std::size_t id = 0;           ///< that have an identifier in common
  std::size_t contradicts = 0;  ///< of these, those whose sequence is not in the other file
  std::size_t sequence = 0;     ///< the very same sequence
  std::size_t superfamily = 0;

  void add(AnnotatedProtein const& protein, Contents const& other) {
    auto const same_id = other.ids.contains(protein.id);
    auto const same_sequence = other.sequences.contains(protein.sequence);
    auto const same_family = std::ranges::any_of(superfamilies(protein.family), [&](auto name) {
      return other.superfamilies.contains(name);
    });
    ++records;
    id += same_id ? 1 : 0;
    contradicts += same_id && !same_sequence ? 1 : 0;
    sequence += same_sequence ? 1 : 0;
    superfamily += same_family ? 1 : 0;
  }
};

}  // namespace qlora::inline v1
