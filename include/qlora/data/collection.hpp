/// Proteins of several files, each of them once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// A protein and what the files call its family: one name a file that names any. Of proteins with
/// one sequence, which are one group anyway, the first has the names of later files.
struct CollectedProtein {
  Protein protein;
  std::vector<std::string> families;
  std::size_t file;  ///< number of the file that brought it, from 0
};

/// The label of a residue of which two files know: a site for any ligand is a site, and what one
/// file knows counts more than what another does not.
constexpr std::int8_t merged_label(std::int8_t a, std::int8_t b) {
  static_assert(label_unknown < label_negative && label_negative < label_positive);
  return std::max(a, b);
}

/// Gathers labelled proteins. A record with the sequence of some of earlier files is those
/// proteins: labels are merged residue by residue, families are added, and the earlier identifiers
/// stay. Within a file, records with one sequence remain apart. A record with the identifier of an
/// earlier one and another sequence is left out: which of the two labels fit cannot be known.
class Collection {
 public:
  enum class Outcome : std::uint8_t { added, merged, contradicts };

  /// `file` counts the files, and must not decrease from call to call.
  Outcome add(Protein&& protein, std::string const& family, std::size_t file) {
    auto const by_id = ids_.find(protein.id);
    if (by_id != ids_.end() && proteins_[by_id->second].protein.sequence != protein.sequence) {
      return Outcome::contradicts;
    }
    auto const known = sequences_.find(protein.sequence);
    if (known != sequences_.end() && proteins_[known->second.places.front()].file != file) {
      merge(known->second.later, protein.labels);
      add_family(known->second.families, family);
      return Outcome::merged;
    }
    if (by_id != ids_.end()) {
      auto& earlier = proteins_[by_id->second];
      merge(earlier.protein.labels, protein.labels);
      add_family(earlier.families, family);
      return Outcome::merged;
    }
    auto const place = proteins_.size();
    auto& added = proteins_.emplace_back(std::move(protein), std::vector<std::string>{}, file);
    add_family(added.families, family);
    ids_.emplace(added.protein.id, place);
    sequences_[added.protein.sequence].places.push_back(place);
    return Outcome::added;
  }

  /// The proteins, in the order in which they came. The collection is empty afterwards.
  std::deque<CollectedProtein> take() {
    for (auto const& [sequence, same] : sequences_) {
      for (auto const place : same.places) merge(proteins_[place].protein.labels, same.later);
      for (auto const& family : same.families)
        add_family(proteins_[same.places.front()].families, family);
    }
    ids_.clear();
    sequences_.clear();
    return std::exchange(proteins_, {});
  }

 private:
  using Labels = std::vector<std::int8_t>;

  /// Proteins of one file with one sequence, and what later files say of it.
  struct Same {
    std::vector<std::size_t> places;
    Labels later;
    std::vector<std::string> families;
  };

  static void merge(Labels& into, Labels const& labels) {
    into.resize(std::max(into.size(), labels.size()), label_unknown);
    std::ranges::transform(labels, into, into.begin(), merged_label);
  }

  static void add_family(std::vector<std::string>& families, std::string const& family) {
    if (family.empty() || std::ranges::find(families, family) != families.end()) return;
    families.push_back(family);
  }

  std::deque<CollectedProtein> proteins_;  // a deque, since the keys below lie in it
  std::unordered_map<std::string_view, std::size_t> ids_;
  std::unordered_map<std::string_view, Same> sequences_;
};

}  // namespace qlora::inline v1
