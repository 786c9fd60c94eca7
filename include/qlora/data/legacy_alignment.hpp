/// The label alignment of published copies of the model card's script, for reproducing old numbers.
#pragma once

#include <algorithm>

#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// Gives each residue the label of the next one, and the last residue none. Copies of the script
/// put `<cls>` before the residues and attached the labels as they were, so that the label of the
/// first residue fell on `<cls>` and every other one a residue too early.
inline void shift_labels_as_published(Protein& chunk) {
  if (chunk.labels.empty()) return;
  std::rotate(chunk.labels.begin(), chunk.labels.begin() + 1, chunk.labels.end());
  chunk.labels.back() = label_unknown;
}

}  // namespace qlora::inline v1
