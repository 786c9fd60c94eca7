/// What every reader returns and every trainer takes: a protein and, where known, its sites.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1 {

/// Values of Protein::labels; any other negative one is unknown, too.
inline constexpr std::int8_t label_negative = 0;
inline constexpr std::int8_t label_positive = 1;
inline constexpr std::int8_t label_unknown = -1;

constexpr bool is_known(std::int8_t label) {
  return label >= 0;
}

/// The class of a known label: 0 or 1.
constexpr std::size_t class_of(std::int8_t label) {
  return static_cast<std::uint8_t>(label);
}

/// Bytes of an identifier at most: tables have it in a row for each residue.
inline constexpr std::size_t longest_id = 1000;

/// Whether a text has neither blanks nor control characters, so that it can be a cell of a table
/// and be shown on a terminal.
inline bool is_plain_id(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c != 0x7f; });
}

struct Protein {
  std::string id;
  std::string sequence;             ///< upper-case letters, never empty
  std::vector<std::int8_t> labels;  ///< one a residue; empty when nothing is known of the protein

  friend bool operator==(Protein const&, Protein const&) = default;
};

/// The proteins, which a program may have made itself. Throws InputError, naming the protein, for
/// labels that are neither one a residue nor none at all, and for a label above 1.
inline std::span<Protein const> checked(std::span<Protein const> proteins) {
  for (auto const& [id, sequence, labels] : proteins) {
    auto const fail = [&, &id = id](std::string const& expected, auto found) {
      throw InputError{printable(id) + ": expected " + expected + ", found " +
                       std::to_string(found)};
    };
    if (!labels.empty() && labels.size() != sequence.size()) {
      fail(std::to_string(sequence.size()) + " labels or none", labels.size());
    }
    auto const wrong =
        std::ranges::find_if(labels, [](auto label) { return label > label_positive; });
    if (wrong != labels.end()) fail("labels 0, 1 or negative", *wrong);
  }
  return proteins;
}

}  // namespace qlora::inline v1
