/// A ceiling without learning: sites taken over from the most similar proteins of the training set.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <qlora/baseline/alignment.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1::baseline {

/// Training proteins that share most words of five residues with a protein are aligned to it; each
/// aligned residue takes over its partner's label, weighted with the identity of the alignment, and
/// the largest weight of a site counts.
class Homology {
 public:
  static constexpr std::string_view name = "homology";
  static constexpr std::size_t word = 5;
  static constexpr std::size_t partners = 5;
  /// Alignments that score less tell nothing of kinship.
  static constexpr int smallest_score = 50;

  void fit(std::span<Protein const> proteins) {
    proteins_.assign(proteins.begin(), proteins.end());
    for (auto p = std::size_t{0}; p < proteins_.size(); ++p) {
      for_each_word(proteins_[p].sequence, [&](std::string_view letters) {
        index_[letters].push_back(static_cast<std::uint32_t>(p));
      });
    }
    for (auto& [letters, list] : index_) {
      list.erase(std::unique(list.begin(), list.end()), list.end());
    }
  }

  /// For each residue its evidence for a site in (-1, 1): the identity of the alignment that takes
  /// a site over, or minus the one that takes over a residue known to be none; slightly negative
  /// where there is no partner.
  std::vector<float> margins(Protein const& protein) const {
    constexpr auto unknown = -1e-3f;
    auto margins = std::vector<float>(protein.sequence.size(), unknown);
    for (auto const partner : similar(protein)) {
      auto const& other = proteins_[partner];
      if (other.labels.empty()) continue;
      auto const alignment = align(protein.sequence, other.sequence);
      if (alignment.score < smallest_score) continue;
      auto const same = std::ranges::count_if(alignment.pairs, [&](auto const& pair) {
        return protein.sequence[pair.first] == other.sequence[pair.second];
      });
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
  template <class Body>
  static void for_each_word(std::string_view sequence, Body&& body) {
    for (auto i = std::size_t{0}; i + word <= sequence.size(); ++i) body(sequence.substr(i, word));
  }

  /// Numbers of the training proteins that share most words, the most similar first.
  std::vector<std::uint32_t> similar(Protein const& protein) const {
    auto shared = std::unordered_map<std::uint32_t, std::size_t>{};
    for_each_word(protein.sequence, [&](std::string_view letters) {
      auto const found = index_.find(letters);
      if (found == index_.end()) return;
      for (auto const p : found->second) ++shared[p];
    });
    auto ranked = std::vector<std::pair<std::size_t, std::uint32_t>>{};
    for (auto const& [p, words] : shared) ranked.emplace_back(words, p);
    auto const more = [](auto const& a, auto const& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    };
    auto const kept = std::min(partners, ranked.size());
    std::ranges::partial_sort(ranked, ranked.begin() + static_cast<std::ptrdiff_t>(kept), more);
    auto numbers = std::vector<std::uint32_t>{};
    for (auto i = std::size_t{0}; i < kept; ++i) numbers.push_back(ranked[i].second);
    return numbers;
  }

  std::vector<Protein> proteins_;  // whose sequences the index points into
  std::unordered_map<std::string_view, std::vector<std::uint32_t>> index_;
};

}  // namespace qlora::inline v1::baseline
