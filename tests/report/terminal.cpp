// Colours where they are wanted and nowhere else.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <qlora/report/table.hpp>
#include <qlora/report/terminal.hpp>

namespace {

using namespace qlora::report;

/// A terminal of 72 columns that nobody looks at.
class PseudoTerminal {
 public:
  PseudoTerminal() : stream_{::fdopen(::posix_openpt(O_RDWR | O_NOCTTY), "w")} {
    if (stream_ == nullptr) return;
    auto const size = ::winsize{.ws_row = 20, .ws_col = 72, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(::ioctl(::fileno(stream_), TIOCSWINSZ, &size), 0);
  }
  PseudoTerminal(PseudoTerminal const&) = delete;
  ~PseudoTerminal() {
    if (stream_ != nullptr) std::fclose(stream_);
  }
  std::FILE* stream() const { return stream_; }

 private:
  std::FILE* stream_;
};

// NOLINTBEGIN(concurrency-mt-unsafe): no thread runs
/// With two variables of the environment, which are as before afterwards.
Terminal with(char const* term, char const* no_colour) {
  auto const pty = PseudoTerminal{};
  auto const before = std::string{std::getenv("TERM") != nullptr ? std::getenv("TERM") : ""};
  ::setenv("TERM", term, 1);
  no_colour != nullptr ? ::setenv("NO_COLOR", no_colour, 1) : ::unsetenv("NO_COLOR");
  auto const terminal = Terminal::of(pty.stream());
  ::setenv("TERM", before.c_str(), 1);
  ::unsetenv("NO_COLOR");
  return terminal;
}
// NOLINTEND(concurrency-mt-unsafe)

TEST(Terminal, KnowsItsWidthAndWhetherColoursAreWanted) {
  if (PseudoTerminal{}.stream() == nullptr) GTEST_SKIP() << "needs /dev/ptmx";
  EXPECT_EQ(with("xterm", nullptr).width, 72u);
  EXPECT_TRUE(with("xterm", nullptr).colours);
  EXPECT_TRUE(with("xterm", "").colours);  // set, but empty: as if it were not
  EXPECT_FALSE(with("xterm", "1").colours);
  EXPECT_EQ(with("xterm", "1").width, 72u);
  EXPECT_FALSE(with("dumb", nullptr).colours);
}

TEST(Terminal, AFileIsNone) {
  auto* const file = std::tmpfile();
  EXPECT_EQ(Terminal::of(file).width, 0u);
  EXPECT_FALSE(Terminal::of(file).colours);
  std::fclose(file);
}

TEST(Terminal, StylesTextWithColoursAlone) {
  EXPECT_EQ((Terminal{.width = 80, .colours = true}.styled("worse", Style::bad)),
            "\x1b[31mworse\x1b[0m");
  EXPECT_EQ((Terminal{.width = 80, .colours = true}.styled("", Style::bad)), "");
  EXPECT_EQ((Terminal{.width = 80, .colours = true}.styled("even", Style::plain)), "even");
  EXPECT_EQ((Terminal{.width = 80}.styled("worse", Style::bad)), "worse");
}

/// A table looks the same with colours, which take no room.
TEST(Terminal, ColoursDoNotMoveCells) {
  auto table = Table{{{"arm", Align::left}, {"verdict"}, {"note", Align::left}}};
  table.add({"all", Cell{std::string{"better"}, Style::good}, ""}).add({"qkv", "-", "reference"});
  auto coloured = table.text({.width = 80, .colours = true});
  EXPECT_NE(coloured.find("all   \x1b[32mbetter\x1b[0m\n"), std::string::npos) << coloured;
  for (auto at = coloured.find('\x1b'); at != coloured.npos; at = coloured.find('\x1b')) {
    coloured.erase(at, coloured.find('m', at) + 1 - at);
  }
  EXPECT_EQ(coloured, table.text());
}

}  // namespace
