/// Proteins of several files, each of them once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// A protein and what the files call its family: one name a file that names any.
struct CollectedProtein {
  Protein protein;
  std::vector<std::string> families;
  std::size_t file;  ///< number of the file that brought it
};

/// The label of a residue of which two files know: a site for any ligand is a site, and what one
/// file knows counts more than what another does not.
constexpr std::int8_t merged_label(std::int8_t a, std::int8_t b) {
  static_assert(label_unknown < label_negative && label_negative < label_positive);
  return std::max(a, b);
}

/// Gathers labelled proteins. A record with the sequence of one of an earlier file is that protein:
/// labels are merged residue by residue, families are added, and the earlier identifier stays.
/// Within a file, records with one sequence remain apart. A record with the identifier of an
/// earlier one and another sequence is left out: which of the two labels fit cannot be known.
class Collection {
 public:
  enum class Outcome : std::uint8_t { added, merged, contradicts };

  /// `file` counts the files, and must not decrease from call to call.
  Outcome add(Protein&& protein, std::string&& family, std::size_t file) {
    auto const by_id = ids_.find(protein.id);
    if (by_id != ids_.end() && proteins_[by_id->second].protein.sequence != protein.sequence) {
      return Outcome::contradicts;
    }
    auto place = by_id != ids_.end() ? by_id->second : none;
    if (place == none) {
      auto const by_sequence = sequences_.find(protein.sequence);
      if (by_sequence != sequences_.end() && proteins_[by_sequence->second].file != file) {
        place = by_sequence->second;
      }
    }
    if (place == none) {
      auto& added = proteins_.emplace_back(std::move(protein), std::vector<std::string>{}, file);
      ids_.emplace(added.protein.id, proteins_.size() - 1);
      sequences_.emplace(added.protein.sequence, proteins_.size() - 1);
      add_family(added, std::move(family));
      return Outcome::added;
    }
    auto& earlier = proteins_[place];
    std::ranges::transform(earlier.protein.labels, protein.labels, earlier.protein.labels.begin(),
                           merged_label);
    add_family(earlier, std::move(family));
    return Outcome::merged;
  }

  /// The proteins, in the order in which they came. The collection is empty afterwards.
  std::deque<CollectedProtein> take() {
    ids_.clear();
    sequences_.clear();
    return std::exchange(proteins_, {});
  }

 private:
  static constexpr auto none = std::numeric_limits<std::size_t>::max();

  static void add_family(CollectedProtein& protein, std::string&& family) {
    if (family.empty() || std::ranges::find(protein.families, family) != protein.families.end()) {
      return;
    }
    protein.families.push_back(std::move(family));
  }

  std::deque<CollectedProtein> proteins_;  // a deque, since the keys below lie in it
  std::unordered_map<std::string_view, std::size_t> ids_, sequences_;
};

}  // namespace qlora::inline v1
