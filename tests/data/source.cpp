#include <string>

#include <gtest/gtest.h>

#include <qlora/data/lines.hpp>
#include <qlora/data/source.hpp>

#include "gzip_file.hpp"
#include "reading.hpp"

namespace {
using namespace qlora;
using namespace std::string_literals;
using qlora::testing::refusal;
using qlora::testing::TextFile;

std::string whole(std::filesystem::path const& path) {
  auto source = Source{path};
  auto text = std::string{};
  auto part = std::array<char, 1'000>{};
  while (auto const got = source.read(part)) text.append(part.data(), got);
  return text;
}

TEST(Source, GivesPlainBytesAsTheyAre) {
  EXPECT_EQ(whole(TextFile{""}.path()), "");
  EXPECT_EQ(whole(TextFile{"\x1f"}.path()), "\x1f");
  EXPECT_EQ(whole(TextFile{"a\0b"s}.path()), "a\0b"s);
}

#if defined(QLORA_HAS_ZLIB)
using qlora::testing::gzipped;

TEST(Source, InflatesMembersOneAfterTheOther) {
  auto long_text = std::string{};
  for (auto i = 0; i < 100'000; ++i) long_text += std::to_string(i * 7919);
  EXPECT_EQ(whole(TextFile{gzipped(long_text) + gzipped("") + gzipped("end")}.path()),
            long_text + "end");
}

/// Large, and of a growth that is no bomb's.
TEST(Source, InflatesWhatIsLarge) {
  auto part = std::string{};
  for (auto i = 0; i < 100'000; ++i) part += std::to_string(i * 7919);
  auto text = std::string{};
  while (text.size() < (std::size_t{17} << 20)) text += part;
  EXPECT_EQ(whole(TextFile{gzipped(text)}.path()), text);
}

TEST(Source, RefusesDamagedGzip) {
  auto const good = gzipped("some text that is long enough to be cut");
  auto const cut = [&](std::size_t size) { return refusal(good.substr(0, size), whole); };
  for (auto size = std::size_t{2}; size < good.size(); ++size) {
    EXPECT_EQ(cut(size), ": byte " + std::to_string(size) +
                             ": expected a whole gzip file, found it cut short");
  }
  auto const end = ": byte " + std::to_string(good.size());
  EXPECT_EQ(refusal(good + "x", whole),
            end + ": expected the gzip file to end, found further bytes");
  auto flipped = good;
  flipped[flipped.size() - 6] ^= 1;  // the checksum
  EXPECT_EQ(refusal(flipped, whole),
            ": byte " + std::to_string(good.size() - 4) +
                ": expected a sound gzip file, found damage: incorrect data check");
}

TEST(Source, RefusesBombs) {
  auto const line = std::string(99, 'A') + "\n";
  auto text = std::string{};
  while (text.size() < (std::size_t{15} << 20)) text += line;
  EXPECT_EQ(whole(TextFile{gzipped(text)}.path()).size(), text.size());
  text += text;
  auto const error = refusal(gzipped(text), whole);
  EXPECT_TRUE(error.starts_with(": byte ")) << error;
  EXPECT_TRUE(error.ends_with(": expected a gzip file that grows at most 200-fold, found more"));
}
#else
TEST(Source, RefusesGzipWithoutZlib) {
  EXPECT_NE(refusal("\x1f\x8b\x08", whole).find("gunzip"), std::string::npos);
}
#endif

}  // namespace
