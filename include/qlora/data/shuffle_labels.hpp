/// A floor under a study: labels that have lost their residues.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <qlora/core/random.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// The proteins with the known labels of each permuted among its residues that have one (Fisher and
/// Yates), so that each keeps its number of sites and nothing else can be learned. The permutation
/// depends on the seed and the protein's place in the list.
inline std::vector<Protein> shuffled_labels(std::span<Protein const> proteins, std::uint64_t seed) {
  auto shuffled = std::vector<Protein>{proteins.begin(), proteins.end()};
  for (std::size_t p = 0; p < shuffled.size(); ++p) {
    auto& labels = shuffled[p].labels;
    auto known = std::vector<std::size_t>{};
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (is_known(labels[i])) known.push_back(i);
    }
    auto random = RandomSequence{{.seed = seed,
                                  .step = 0,
                                  .sample = static_cast<std::uint32_t>(p),
                                  .site = random_site::labels}};
    for (auto left = known.size(); left > 1; --left) {
      auto const other = random.below(static_cast<std::uint32_t>(left));
      std::swap(labels[known[left - 1]], labels[known[other]]);
    }
  }
  return shuffled;
}

}  // namespace qlora::inline v1
