/// Text for a shell.
#pragma once

#include <string>
#include <string_view>

namespace qlora::cli {

/// As a shell takes it: in quotes where it has to be.
inline std::string shell_word(std::string_view word) {
  constexpr auto plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
  if (!word.empty() && word.find_first_not_of(plain) == word.npos) return std::string{word};
  auto text = std::string{"'"};
  for (auto const c : word) text += c == '\'' ? std::string{"'\\''"} : std::string{c};
  return text + "'";
}

}  // namespace qlora::cli
