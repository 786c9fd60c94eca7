/// The parts that record formats share: identifiers and residues, checked.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <unordered_set>

#include <qlora/data/lines.hpp>

namespace qlora::inline v1::detail {

/// A byte as an error message shows it.
inline std::string quoted(char byte) {
  if (byte >= ' ' && byte <= '~') return std::string{"'"} + byte + "'";
  auto text = std::string(4, '\0');
  auto const value = static_cast<unsigned>(static_cast<unsigned char>(byte));
  std::snprintf(text.data(), text.size() + 1, "0x%02x", value);
  return text;
}

/// An identifier as a string, noted in `seen`. Throws InputError when it is empty, holds blanks or
/// comes twice.
inline std::string new_id(Lines const& lines, std::string_view text,
                          std::unordered_set<std::string>& seen) {
  if (text.empty()) lines.fail("expected an identifier, found none");
  if (text.find_first_of(" \t") != text.npos) {
    lines.fail("expected an identifier without blanks, found '" + printable(text) + "'");
  }
  auto id = std::string{text};
  if (!seen.insert(id).second) {
    lines.fail("expected a new identifier, found '" + printable(id) + "' again");
  }
  return id;
}

/// The identifier of the header line at which `lines` stands: the first word after `>`. Throws
/// InputError when there is none or when it is in `seen` already.
inline std::string read_id(Lines const& lines, std::unordered_set<std::string>& seen) {
  auto const line = lines.line();
  if (!line.starts_with('>')) {
    lines.fail("expected a header that starts with '>', found " + quoted(line.front()));
  }
  auto const id = line.substr(1, line.find_first_of(" \t", 1) - 1);
  if (id.empty()) lines.fail("expected an identifier after '>', found none");
  return new_id(lines, id, seen);
}

/// Appends `residues` to `sequence` in upper case. Throws InputError when one is not a letter, and
/// for a protein that is longer than a line may be.
inline void append_residues(Lines const& lines, std::string_view residues, std::string& sequence) {
  auto const start = sequence.size();
  if (start + residues.size() > Lines::longest_line) {
    lines.fail("expected at most " + std::to_string(Lines::longest_line) +
               " residues a protein, found more");
  }
  sequence.resize(start + residues.size());
  auto bad = false;
  for (auto i = std::size_t{0}; i < residues.size(); ++i) {
    auto const upper = static_cast<unsigned char>(residues[i] & 0xDF);
    bad |= upper < 'A' || upper > 'Z';
    sequence[start + i] = static_cast<char>(upper);
  }
  if (!bad) return;
  auto const is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  for (auto i = std::size_t{0}; i < residues.size(); ++i) {
    if (is_letter(residues[i])) continue;
    lines.fail("column " + std::to_string(i + 1) + ": expected a residue letter, found " +
               quoted(residues[i]));
  }
}

}  // namespace qlora::inline v1::detail
