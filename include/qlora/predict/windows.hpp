/// Proteins that are too long for one pass: windows that overlap, of which the residues near a cut
/// are not used, because they have seen one side of it alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/option.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1::predict {

struct WindowOptions {
  std::size_t residues = 0;  ///< of a window; 0: a protein is never cut
  std::size_t margin = 128;  ///< residues at a cut that the neighbouring window predicts
};

/// Throws InputError for margins that leave nothing of a window.
inline void check(WindowOptions const& options) {
  if (options.residues == 0) return;
  expect_option(options.margin < (options.residues + 1) / 2, "window",
                "more than both margins of " + std::to_string(options.margin), options.residues);
}

/// A piece of a protein, and which of its residues count.
struct Window {
  std::size_t protein = 0;          ///< its place in the list
  std::size_t offset = 0;           ///< of its first residue
  std::size_t first = 0, last = 0;  ///< that count, in the protein, the last one not included
};

/// Windows in the order of the proteins; the parts that count are neighbours, and cover each. The
/// last window of a protein is moved back to be full. Throws InputError as check().
inline std::vector<Window> windows(std::span<Protein const> proteins,
                                   WindowOptions const& options) {
  check(options);
  auto result = std::vector<Window>{};
  for (std::size_t p = 0; p < proteins.size(); ++p) {
    auto const length = proteins[p].sequence.size();
    if (options.residues == 0 || length <= options.residues) {
      result.push_back({.protein = p, .offset = 0, .first = 0, .last = length});
      continue;
    }
    auto first = std::size_t{0};
    while (first < length) {
      auto const wanted = first < options.margin ? std::size_t{0} : first - options.margin;
      auto const offset = std::min(wanted, length - options.residues);
      auto const end = offset + options.residues;
      auto const last = end == length ? length : end - options.margin;
      result.push_back({.protein = p, .offset = offset, .first = first, .last = last});
      first = last;
    }
  }
  return result;
}

/// The pieces as proteins, without labels.
inline std::vector<Protein> cut(std::span<Protein const> proteins, std::span<Window const> windows,
                                WindowOptions const& options) {
  auto pieces = std::vector<Protein>{};
  for (auto const& window : windows) {
    auto const& [id, sequence, labels] = proteins[window.protein];
    auto const length = options.residues == 0 ? sequence.size() : options.residues;
    pieces.push_back({.id = id, .sequence = sequence.substr(window.offset, length), .labels = {}});
  }
  return pieces;
}

}  // namespace qlora::inline v1::predict
