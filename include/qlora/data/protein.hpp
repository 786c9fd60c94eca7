/// What every reader returns and every trainer takes: a protein and, where known, its sites.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace qlora::inline v1 {

/// Values of Protein::labels.
inline constexpr std::int8_t label_negative = 0;
inline constexpr std::int8_t label_positive = 1;
inline constexpr std::int8_t label_unknown = -1;

/// The class of a known label: 0 or 1.
constexpr std::size_t class_of(std::int8_t label) {
  return static_cast<std::uint8_t>(label);
}

struct Protein {
  std::string id;
  std::string sequence;             ///< upper-case letters, never empty
  std::vector<std::int8_t> labels;  ///< one a residue; empty when nothing is known of the protein

  friend bool operator==(Protein const&, Protein const&) = default;
};

}  // namespace qlora::inline v1
