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

TEST(Lines, OfAnEmptyFileAreNone) {
  EXPECT_TRUE(all(TextFile{""}.path()).empty());
}

TEST(Lines, RefusesWhatIsNoText) {
  EXPECT_EQ(refusal("a\nb\0c\n"s, all), ":2: expected text, found a NUL byte");
  EXPECT_EQ(refusal("\x1f\x8b\x08\0"s, all),
            ": is gzip-compressed, expected plain text: decompress it first");
}

TEST(Lines, RefusesAFolderAndNothing) {
  EXPECT_THROW(Lines{std::filesystem::temp_directory_path()}, InputError);
  EXPECT_THROW(Lines{"/no/such/file"}, InputError);
}

}  // namespace
