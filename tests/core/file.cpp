#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <qlora/core/file.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::read_file;
using testing::TemporaryFolder;

int files_in(std::filesystem::path const& folder) {
  auto count = 0;
  for ([[maybe_unused]] auto const& entry : std::filesystem::directory_iterator{folder}) ++count;
  return count;
}

TEST(MappedFile, ShowsTheBytesAndOutlivesAMove) {
  auto const folder = TemporaryFolder{};
  auto first = MappedFile{folder.write("a", "hello")};
  auto second = std::move(first);
  EXPECT_EQ(as_text(second.bytes()), "hello");
  // NOLINTNEXTLINE(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
  EXPECT_TRUE(first.bytes().empty());
}

TEST(MappedFile, TakesAnEmptyFile) {
  auto const folder = TemporaryFolder{};
  EXPECT_TRUE(MappedFile{folder.write("a", "")}.bytes().empty());
}

TEST(MappedFile, ReadsReleasedPagesAgain) {
  auto const folder = TemporaryFolder{};
  auto const content = std::string(100'000, 'x');
  auto const file = MappedFile{folder.write("a", content)};
  file.release(file.bytes().subspan(1));
  EXPECT_EQ(as_text(file.bytes()), content);
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  auto const folder = TemporaryFolder{};
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  auto const error = [&](std::string const& name) {
    return input_error_of([&] { MappedFile{folder.path() / name}; });
  };
  EXPECT_EQ(error("absent"), (folder.path() / "absent").string() + ": expected a file, found none");
  EXPECT_NE(error("").find("found a folder"), std::string::npos);
  EXPECT_NE(error("pipe").find("found a device or pipe"), std::string::npos);
}

TEST(ReadText, HoldsToItsLimit) {
  auto const folder = TemporaryFolder{};
  auto const path = folder.write("a", "12345");
  EXPECT_EQ(read_text(path, 5), "12345");
  EXPECT_NE(input_error_of([&] { read_text(path, 4); }).find("expected at most 4 bytes, found 5"),
            std::string::npos);
}

TEST(WriteAtomically, ReplacesTheFileAndLeavesNothingElse) {
  auto const folder = TemporaryFolder{};
  auto const path = folder.write("a", "old");
  auto const large = std::string(200'000, 'z');
  write_atomically(path, [&](FileWriter& writer) {
    writer.write("one ");
    writer.write(large);
    writer.write(" two");
  });
  EXPECT_EQ(read_file(path), "one " + large + " two");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(WriteAtomically, ObeysTheUmask) {
  auto const folder = TemporaryFolder{};
  auto const mask = ::umask(027);
  write_atomically(folder.path() / "a", "text");
  ::umask(mask);
  struct stat status {};
  ASSERT_EQ(::stat((folder.path() / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(WriteAtomically, KeepsTheOldContentWhenTheWriterThrows) {
  auto const folder = TemporaryFolder{};
  auto const path = folder.write("a", "old");
  auto const fails = [](FileWriter& writer) {
    writer.write("new");
    throw std::runtime_error{"stop"};
  };
  EXPECT_THROW(write_atomically(path, fails), std::runtime_error);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(WriteAtomically, KeepsTheOldContentWhenTheDiskIsFull) {
  auto const folder = TemporaryFolder{};
  auto const path = folder.write("a", "old");
  // A limit on the size of files stands in for the full disk: writes come up short, then fail.
  auto const handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto limited = before;
  limited.rlim_cur = 100'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
  EXPECT_THROW(write_atomically(path, std::string(200'000, 'z')), SystemError);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(WriteAtomically, SaysWhatIsWrongWithThePath) {
  auto const folder = TemporaryFolder{};
  EXPECT_NE(input_error_of([&] { write_atomically(folder.path(), "x"); }).find("found a folder"),
            std::string::npos);
  EXPECT_THROW(write_atomically(folder.path() / "absent" / "a", "x"), SystemError);
}

TEST(Printable, KeepsMessagesShortAndOnOneLine) {
  EXPECT_EQ(printable("a\nb\x80"
                      "c"),
            "a?b?c");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace qlora
