/// The parts that record formats share: identifiers and residues, checked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1::detail {

/// A byte as an error message shows it.
inline std::string quoted(char byte) {
  if (byte >= ' ' && byte <= '~') return std::string{"'"} + byte + "'";
  auto text = std::string(4, '\0');
  auto const value = static_cast<unsigned>(static_cast<unsigned char>(byte));
  std::snprintf(text.data(), text.size() + 1, "0x%02x", value);
  return text;
}

/// An identifier as a string, noted in `seen`. Throws InputError when it is empty or longer than
/// `longest_id`, holds blanks or control characters, or comes twice.
inline std::string new_id(Lines const& lines, std::string_view text, IdSet& seen) {
  if (text.empty()) lines.fail("expected an identifier, found none");
  if (text.size() > longest_id) {
    lines.fail("expected an identifier of at most " + std::to_string(longest_id) +
               " bytes, found " + std::to_string(text.size()));
  }
  if (!is_plain_id(text)) {
    lines.fail("expected an identifier without blanks and control characters, found '" +
               printable(text) + "'");
  }
  if (!seen.insert(text)) {
    lines.fail("expected a new identifier, found '" + printable(text) + "' again");
  }
  return std::string{text};
}

/// The identifier of the header line at which `lines` stands: the first word after `>`. Throws
/// InputError when there is none or when it is in `seen` already.
inline std::string read_id(Lines const& lines, IdSet& seen) {
  auto const line = lines.line();
  if (!line.starts_with('>')) {
    lines.fail("expected a header that starts with '>', found " + quoted(line.front()));
  }
  auto const id = line.substr(1, line.find_first_of(" \t", 1) - 1);
  if (id.empty()) lines.fail("expected an identifier after '>', found none");
  return new_id(lines, id, seen);
}

/// Calls `convert(byte, out[i])` for each byte and returns whether any call did so. Works on blocks
/// of a fixed size, since those become vector instructions at -O2.
template <class T, class Convert>
bool for_each_byte(std::string_view bytes, T* out, Convert const& convert) {
  constexpr auto block = std::size_t{32};
  auto bad = false;
  auto i = std::size_t{0};
  for (; i + block <= bytes.size(); i += block) {
    auto marks = std::array<unsigned char, block>{};
    for (auto j = std::size_t{0}; j < block; ++j) {
      marks[j] = static_cast<unsigned char>(convert(bytes[i + j], out[i + j]));
    }
    auto words = std::array<std::uint64_t, block / 8>{};
    std::memcpy(words.data(), marks.data(), block);
    bad |= (words[0] | words[1] | words[2] | words[3]) != 0;
  }
  for (; i < bytes.size(); ++i) bad |= convert(bytes[i], out[i]) != 0;
  return bad;
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
  auto const bad = for_each_byte(residues, sequence.data() + start, [](char letter, char& out) {
    out = static_cast<char>(letter & 0xDF);
    return (out < 'A') | (out > 'Z');
  });
  if (!bad) return;
  auto const is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  for (auto i = std::size_t{0}; i < residues.size(); ++i) {
    if (is_letter(residues[i])) continue;
    lines.fail("column " + std::to_string(i + 1) + ": expected a residue letter, found " +
               quoted(residues[i]));
  }
}

}  // namespace qlora::inline v1::detail
