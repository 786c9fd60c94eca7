/// What a file of proteins holds, counted record by record.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/data/annotation.hpp>
#include <qlora/data/groups.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/labels.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// Counts of records, residues, labels and annotated sites; labels under the default policy.
struct Census {
  std::vector<std::uint32_t> lengths;  ///< residues of each record, in file order
  std::size_t residues = 0, positives = 0, negatives = 0;
  std::size_t unusual = 0;     ///< residues that are none of the twenty: U, O, B, Z, J, X
  std::size_t with_sites = 0;  ///< records with a positive residue
  SkipCounts unlabelled;       ///< records without labels, by reason
  /// Sites that a database lists, by kind and evidence; those at uncertain positions apart.
  std::array<std::array<std::size_t, 3>, 2> sites{};
  std::size_t unplaced_sites = 0;
  std::map<std::string, std::size_t, std::less<>> ligands;  ///< sites that name one
  IdSet families, superfamilies;
  std::size_t without_family = 0;

  void add(AnnotatedProtein const& protein) {
    lengths.push_back(static_cast<std::uint32_t>(protein.sequence.size()));
    residues += protein.sequence.size();
    unusual += count(protein.sequence, [](char letter) {
      return std::string_view{"ACDEFGHIKLMNPQRSTVWY"}.find(letter) == std::string_view::npos;
    });
    auto const [labels, reason] = label(protein, {});
    auto const sites_here = count(labels, [](auto one) { return one == label_positive; });
    positives += sites_here;
    negatives += count(labels, [](auto one) { return one == label_negative; });
    with_sites += sites_here > 0 ? 1 : 0;
    if (!reason.empty()) ++unlabelled[std::string{reason}];
    for (auto const& site : protein.sites) {
      auto const placed = site.placing == Placing::exact;
      ++(placed ? sites[std::size_t(site.kind)][std::size_t(site.evidence)] : unplaced_sites);
      if (!site.ligand.empty()) ++ligands[site.ligand];
    }
    without_family += protein.family.empty() ? 1 : 0;
    if (protein.family.empty()) return;
    families.insert(protein.family);
    for (auto const name : v1::superfamilies(protein.family)) superfamilies.insert(name);
  }

  std::size_t unknown() const { return residues - positives - negatives; }
  /// Sites among labelled residues; NaN without any.
  double prevalence() const {
    return static_cast<double>(positives) / static_cast<double>(positives + negatives);
  }
  /// The length that a share `q` in [0, 1] of the records does not exceed; 0 without records.
  std::uint32_t length(double q) const {
    if (lengths.empty()) return 0;
    auto sorted = lengths;
    auto const at = std::lround(q * static_cast<double>(sorted.size() - 1));
    std::ranges::nth_element(sorted, sorted.begin() + at);
    return sorted[static_cast<std::size_t>(at)];
  }

 private:
  template <class Range, class Is>
  static std::size_t count(Range const& range, Is is) {
    return static_cast<std::size_t>(std::ranges::count_if(range, is));
  }
};

}  // namespace qlora::inline v1
