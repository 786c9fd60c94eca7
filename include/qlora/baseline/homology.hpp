/// A ceiling without learning: sites taken over from the most similar proteins of the training set.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include <qlora/baseline/alignment.hpp>
#include <qlora/baseline/relatives.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1::baseline {

/// Training proteins that share most words of five residues with a protein are aligned to it; each
/// aligned residue takes over its partner's label, weighted with the identity of the alignment, and
/// the largest weight of a site counts. No protein is a relative of itself, that is, of one with
/// its identifier: else the training set would be judged by its own labels.
class Homology {
 public:
  static constexpr std::string_view name = "homology";
  static constexpr std::size_t partners = 5;
  /// Alignments that score less tell nothing of kinship.
  static constexpr int smallest_score = 50;

  void fit(std::span<Protein const> proteins) {
    proteins_.assign(proteins.begin(), proteins.end());
    relatives_ = {};
    for (auto const& protein : proteins_) relatives_.add(protein.sequence);
  }

  /// For each residue its evidence for a site in (-1, 1): the identity of the alignment that takes
  /// a site over, or minus the one that takes over a residue known to be none; slightly negative
  /// where there is no partner.
  std::vector<float> margins(Protein const& protein) const {
    constexpr auto unknown = -1e-3f;
    auto margins = std::vector<float>(protein.sequence.size(), unknown);
    auto const is_another = [&](auto number) { return proteins_[number].id != protein.id; };
    for (auto const partner : relatives_.of(protein.sequence, partners, is_another)) {
      auto const& other = proteins_[partner];
      if (other.labels.empty()) continue;
      auto const alignment = align(protein, other);
      if (alignment.score < smallest_score) continue;
      auto const same = identical(alignment, protein.sequence, other.sequence);
      auto const identity =
          static_cast<float>(same) / static_cast<float>(alignment.pairs.size() + 1);
      for (auto const& [own, theirs] : alignment.pairs) {
        auto const label = other.labels[theirs];
        if (!is_known(label)) continue;
        auto& margin = margins[own];
        if (label == label_positive) {
          margin = std::max(margin, identity);
        } else if (margin < 0.f) {
          margin = std::min(margin, -identity);
        }
      }
    }
    return margins;
  }

 private:
  std::vector<Protein> proteins_;
  Relatives relatives_;
};

}  // namespace qlora::inline v1::baseline
