/// What a stream is shown on: a terminal of some width, with colours where they are wanted, or
/// none.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

namespace qlora::inline v1::report {

/// How a piece of text stands out.
enum class Style { plain, strong, dim, good, bad };

struct Terminal {
  std::size_t width = 0;  ///< characters that fit a line; 0: no terminal, lines of any length
  bool colours = false;

  /// Of a stream. No colours where the environment has NO_COLOR (https://no-color.org) or a
  /// terminal that is "dumb".
  static Terminal of(std::FILE* stream) {
    auto const descriptor = ::fileno(stream);
    if (::isatty(descriptor) == 0) return {};
    auto size = ::winsize{};
    auto const known = ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    auto const variable = [](char const* name) {
      auto const* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): none sets it
      return std::string_view{value == nullptr ? "" : value};
    };
    return {.width = known ? std::size_t{size.ws_col} : std::size_t{80},
            .colours = variable("NO_COLOR").empty() && variable("TERM") != "dumb"};
  }

  /// The text in that style (ECMA-48's Select Graphic Rendition), or as it is.
  std::string styled(std::string_view text, Style style) const {
    constexpr std::string_view codes[] = {"", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m"};
    auto const code = codes[static_cast<std::size_t>(style)];
    if (!colours || code.empty() || text.empty()) return std::string{text};
    return std::string{code}.append(text).append("\x1b[0m");
  }
};

}  // namespace qlora::inline v1::report
