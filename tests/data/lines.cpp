#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/lines.hpp>

#include "reading.hpp"

namespace {
using namespace qlora;
using namespace std::string_literals;
using qlora::testing::refusal;
using qlora::testing::TextFile;

std::vector<std::string> all(std::filesystem::path const& path) {
  auto found = std::vector<std::string>{};
  for (auto lines = Lines{path}; lines.next();) found.emplace_back(lines.line());
  return found;
}

TEST(Lines, DropsLineEndsBlanksAndByteOrderMark) {
  auto const file = TextFile{"\xef\xbb\xbfone\r\n\r\n two \t\nlast"};
  EXPECT_EQ(all(file.path()), (std::vector{"one"s, ""s, " two"s, "last"s}));
}

TEST(Lines, ReadsLinesAndFilesLongerThanTheBuffer) {
  auto const expected =
      std::vector{"short"s, std::string(3'000'000, 'A'), std::string(262'144, 'B'), "end"s};
  auto content = std::string{};
  for (auto const& line : expected) content += line + "\n";
  EXPECT_EQ(all(TextFile{content}.path()), expected);
}

TEST(Lines, KeepsTheCellsThatAreEmpty) {
  auto const file = TextFile{"a\t\t\r\n"};
  auto lines = Lines{file.path()};
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.line(), "a");
  EXPECT_EQ(lines.whole_line(), "a\t\t");
}

TEST(Lines, OfAnEmptyFileAreNone) {
  EXPECT_TRUE(all(TextFile{""}.path()).empty());
}

TEST(Lines, RefusesWhatIsNoText) {
  EXPECT_EQ(refusal("a\nb\0c\n"s, all), ":2: expected text, found a NUL byte");
  EXPECT_EQ(refusal("a\n" + std::string((std::size_t{9} << 20), 'A'), all),
            ":2: expected lines of fewer than 8388608 bytes, found more");
}

TEST(Lines, RefusesAFolderAndNothing) {
  EXPECT_THROW(Lines{std::filesystem::temp_directory_path()}, InputError);
  EXPECT_THROW(Lines{"/no/such/file"}, InputError);
}

}  // namespace
