// Event files, byte by byte: what TensorBoard's own reader makes of them is compared by
// tests/parity/against_hf.py.
#include <cstdint>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <qlora/report/tensorboard.hpp>

#include "support/files.hpp"

namespace qlora::report {
namespace {

TEST(EventFile, HasTheChecksumsOfTheStandard) {
  // RFC 3720, B.4, and the check value of the catalogue of CRC algorithms.
  EXPECT_EQ(detail::crc32c(std::string(32, '\0')), 0x8a91'36aau);
  EXPECT_EQ(detail::crc32c(std::string(32, '\xff')), 0x62a8'ab43u);
  EXPECT_EQ(detail::crc32c("123456789"), 0xe306'9283u);
}

TEST(EventFile, IsRecordsOfEvents) {
  auto const folder = testing::TemporaryFolder{};
  auto const path = folder.path() / "events.out.tfevents.0.qlora";
  auto events = EventFile{path, 1.5};
  events.add("train/loss", 300, .25, 2.);
  events.write();
  auto const bytes = testing::read_file(path);

  auto expected = std::string{};
  detail::append_record(expected, std::string_view{"\x09\0\0\0\0\0\0\xf8\x3f\x10\0\x1a\x0d"
                                                   "brain.Event:2",
                                                   26});
  detail::append_record(
      expected, std::string_view{"\x09\0\0\0\0\0\0\0\x40\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0a"
                                 "train/loss"
                                 "\x15\0\0\x80\x3e",
                                 33});
  EXPECT_EQ(bytes, expected);
  EXPECT_EQ(bytes.substr(0, 8), std::string_view("\x1a\0\0\0\0\0\0\0", 8));
}

TEST(EventFile, IsLeftAloneByWhoWritesNothing) {
  auto const folder = testing::TemporaryFolder{};
  auto const path = folder.path() / "events.out.tfevents.0.qlora";
  auto first = EventFile{path, 1.5};
  first.write();
  auto const bytes = testing::read_file(path);
  auto another = EventFile{path, 2.};
  another.add("train/loss", 1, .5, 2.);
  EXPECT_EQ(testing::read_file(path), bytes);
  another.write();
  EXPECT_NE(testing::read_file(path), bytes);
}

TEST(EventFile, RefusesAPipe) {
  auto const folder = testing::TemporaryFolder{};
  auto const path = folder.path() / "events.out.tfevents.0.qlora";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THROW((EventFile{path, 1.5}.write()), InputError);
}

}  // namespace
}  // namespace qlora::report
