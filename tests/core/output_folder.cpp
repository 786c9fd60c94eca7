#include <filesystem>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::TemporaryFolder;

TEST(OutputFolder, IsKeptWithItsFiles) {
  auto const temporary = TemporaryFolder{};
  auto const path = temporary.path() / "a" / "b";
  {
    auto folder = OutputFolder{path};
    write_atomically(folder.file("x"), "1");
    folder.keep();
  }
  EXPECT_EQ(testing::read_file(path / "x"), "1");
}

TEST(OutputFolder, IsGoneUnlessKept) {
  auto const temporary = TemporaryFolder{};
  {
    auto folder = OutputFolder{temporary.path() / "new" / "within"};
    write_atomically(folder.file("x"), "1");
    std::ignore = folder.file("never written");
  }
  EXPECT_FALSE(std::filesystem::exists(temporary.path() / "new"));
}

TEST(OutputFolder, SaysWhichFoldersItMade) {
  auto const temporary = TemporaryFolder{};
  auto const inner = temporary.path() / "new" / "within";
  using Paths = std::vector<std::filesystem::path>;
  EXPECT_EQ(create_folder(inner), (Paths{inner, inner.parent_path()}));
  EXPECT_EQ(create_folder(inner), Paths{});
}

TEST(OutputFolder, LeavesWhatItDidNotMake) {
  auto const temporary = TemporaryFolder{};
  {
    auto folder = OutputFolder{temporary.path()};
    write_atomically(folder.file("x"), "1");
    temporary.write("another's", "2");
  }
  EXPECT_FALSE(std::filesystem::exists(temporary.path() / "x"));
  EXPECT_EQ(testing::read_file(temporary.path() / "another's"), "2");
}

TEST(OutputFolder, RefusesWhatHoldsSomething) {
  auto const temporary = TemporaryFolder{};
  auto const file = temporary.write("x", "1");
  auto const refusal = [](std::filesystem::path const& path) {
    return input_error_of([&] { OutputFolder{path}; });
  };
  EXPECT_EQ(refusal(file), file.string() + ": expected a folder to fill, found a file");
  EXPECT_EQ(refusal(temporary.path()),
            temporary.path().string() + ": expected an empty folder or none, found files in it");
  EXPECT_THROW(create_folder(file / "below"), InputError);
  EXPECT_EQ(testing::read_file(file), "1");
}

}  // namespace
}  // namespace qlora
