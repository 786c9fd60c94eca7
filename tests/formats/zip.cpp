#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/formats/zip.hpp>

#include "archives.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

using testing::archive;
using testing::input_error_of;
using testing::little_endian;
using namespace std::string_literals;

std::string zip_error(std::string const& file) {
  return input_error_of([&] { ZipArchive{std::as_bytes(std::span{file}), "f"}; });
}

TEST(Zip, FindsItsMembers) {
  for (auto const& end : std::vector<testing::ArchiveEnd>{
           {}, {.zip64 = true}, {.comment = "a comment PK\5\6 with a signature"}}) {
    auto const file =
        archive({{"x/data.pkl", "first"}, {"x/data/0", ""}, {"x/data/1", "third"}}, end);
    EXPECT_TRUE(ZipArchive::recognise(std::as_bytes(std::span{file})));
    auto const zip = ZipArchive{std::as_bytes(std::span{file}), "f"};
    ASSERT_EQ(zip.members().size(), 3u);
    EXPECT_EQ(as_text(zip.find("x/data.pkl")->bytes), "first");
    EXPECT_EQ(as_text(zip.find("x/data/1")->bytes), "third");
    EXPECT_TRUE(zip.find("x/data/0")->bytes.empty());
    EXPECT_EQ(zip.find("x/data"), nullptr);
  }
}

TEST(Zip, ReadsSizesOf64Bits) {
  auto const wide = little_endian(std::uint16_t{7}) + little_endian(std::uint16_t{0}) +
                    little_endian(std::uint16_t{1}) + little_endian(std::uint16_t{16}) +
                    little_endian(std::uint64_t{5}) + little_endian(std::uint64_t{5});
  auto const file = archive({{.name = "x", .content = "first", .extra = wide, .size = 0xffffffff}});
  EXPECT_EQ(as_text(ZipArchive{std::as_bytes(std::span{file}), "f"}.find("x")->bytes), "first");
  EXPECT_NE(
      zip_error(
          archive(
              {{.name = "x", .content = "first", .extra = wide.substr(0, 16), .size = 0xffffffff}}))
          .find("sizes of 64 bits"),
      std::string::npos);
}

TEST(Zip, RefusesWhatTorchDoesNotWrite) {
  auto const good = archive({{"x/a", "12345"}, {"x/b", "67890"}});
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {archive({{.name = "x", .content = "a", .method = 8}}), "\"x\": expected it stored as it is"},
      {archive({{.name = "x", .content = "a", .flags = 1}}), "\"x\": expected it unencrypted"},
      {archive({{"../x", "a"}}), "found the member \"../x\""},
      {archive({{"a/../../x", "a"}}), "found the member \"a/../../x\""},
      {archive({{"a/..", "a"}}), "found the member"},
      {archive({{"/etc/passwd", "a"}}), "found the member \"/etc/passwd\""},
      {archive({{"C:x", "a"}}), "found the member"},
      {archive({{"a\\x", "a"}}), "found the member"},
      {archive({{"a\0x"s, "a"}}), "found the member"},
      {archive({{"x", "a"}, {"x", "b"}}), "duplicate member \"x\""},
      {archive({{"x", "abc"}, {.name = "y", .content = "abc", .header_name = "z"}}),
       "\"y\": expected the same name"},
      {archive({{"x", "abc"}, {.name = "x", .content = "abc", .header_at = 0}}),
       "overlaps another"},
      {archive({{.name = "x", .content = "abc", .size = 4}, {"y", ""}}), "overlaps another"},
      {archive({{.name = "x", .content = "abc", .size = 4}}), "overlaps another or the directory"},
      {archive({{.name = "x", .content = "abc", .size = 0x7fffffff}}),
       "expected it inside the file"},
      {archive({{.name = "x", .content = "abc", .header_at = 5}}), "expected its header at byte 5"},
      {archive({{.name = "x", .content = "abc", .header_at = 0x7fffffff}}),
       "expected its header at"},
      {archive({{"x", "abc"}}, {.more_members = 1}), "expected a record of the central directory"},
      {archive({{"x", "abc"}, {"y", ""}}, {.more_members = -1}), "central directory of 1 members"},
      {archive({{"x", "abc"}}, {.more_members = 60'000}), "expected a record"},
      {good + "trailing", "expected an end record"},
      {"PK\3\4", "expected an end record"},
      {"", "expected an end record"},
  };
  for (auto const& [file, expected] : cases) {
    auto const error = zip_error(file);
    EXPECT_NE(error.find(expected), std::string::npos) << error << " lacks " << expected;
  }
  for (auto size = std::size_t{0}; size < good.size(); ++size) {
    EXPECT_NE(zip_error(good.substr(0, size)), "no error") << size;
  }
}

}  // namespace
}  // namespace qlora
