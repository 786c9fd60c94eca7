/// The vocabulary of ESM-2: one residue is one token.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qlora::inline v1::alphabet {

using Token = std::int32_t;

inline constexpr Token cls = 0;
inline constexpr Token pad = 1;
inline constexpr Token eos = 2;
inline constexpr Token unk = 3;
inline constexpr Token mask = 32;
inline constexpr Token vocabulary_size = 33;

/// Letters of tokens 4, 5, ...; token 31 is `<null_1>`, which no letter stands for.
inline constexpr std::string_view letters = "LAGVSERTIDPKQNFYMHWCXBUZO.-";

namespace detail {
inline constexpr auto token_table = [] {
  auto table = std::array<Token, 256>{};
  table.fill(unk);
  for (auto i = std::size_t{0}; i < letters.size(); ++i) {
    table[static_cast<unsigned char>(letters[i])] = static_cast<Token>(i) + 4;
  }
  return table;
}();
}  // namespace detail

/// The token of an upper-case residue letter. Whatever the vocabulary lacks, J and lower case among
/// it, is `unk`, as in the reference tokenizer; readers deliver upper case.
constexpr Token token_of(char letter) noexcept {
  return detail::token_table[static_cast<unsigned char>(letter)];
}

}  // namespace qlora::inline v1::alphabet
