/// Long proteins in pieces: nothing is ever truncated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// Where a chunk comes from.
struct ChunkOrigin {
  std::size_t protein;  ///< index into the proteins that were cut
  std::size_t offset;   ///< the chunk's first residue, from 0

  friend bool operator==(ChunkOrigin const&, ChunkOrigin const&) = default;
};

struct Chunks {
  std::vector<Protein> proteins;     ///< each with the identifier of the protein it is a piece of
  std::vector<ChunkOrigin> origins;  ///< of each of `proteins`
  std::size_t cut = 0;               ///< proteins that became more than one chunk
};

/// Cuts every protein into consecutive chunks of `max_length` residues, the last one being what
/// remains. Throws InputError when `max_length` is 0.
inline Chunks chunk(std::span<Protein const> proteins, std::size_t max_length) {
  if (max_length == 0) throw InputError("maximum length: expected at least 1 residue, got 0");
  auto chunks = Chunks{};
  for (auto i = std::size_t{0}; i < proteins.size(); ++i) {
    auto const& [id, sequence, labels] = proteins[i];
    if (sequence.size() > max_length) ++chunks.cut;
    for (auto offset = std::size_t{0}; offset < sequence.size(); offset += max_length) {
      auto const label = [&](std::size_t position) {
        return labels.begin() + static_cast<std::ptrdiff_t>(std::min(position, labels.size()));
      };
      chunks.proteins.push_back({.id = id,
                                 .sequence = sequence.substr(offset, max_length),
                                 .labels = {label(offset), label(offset + max_length)}});
      chunks.origins.push_back({.protein = i, .offset = offset});
    }
  }
  return chunks;
}

}  // namespace qlora::inline v1
