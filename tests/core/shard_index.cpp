#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/shard_index.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using namespace std::string_literals;
using testing::input_error_of;
using testing::safetensors_bytes;
using testing::TemporaryFolder;

/// A shard of one-byte tensors.
std::string shard(std::string const& names) {
  auto header = "{"s;
  for (auto i = std::size_t{0}; i < names.size(); ++i) {
    header += (i == 0 ? "" : ",") + "\""s + names[i] +
              R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(i) + "," +
              std::to_string(i + 1) + "]}";
  }
  return safetensors_bytes(header + "}", names);
}

std::string index_of(std::string const& map) {
  return "{\"metadata\":{},\"weight_map\":{" + map + "}}";
}

TEST(TensorSet, OpensShards) {
  auto const folder = TemporaryFolder{};
  folder.write("1", shard("ab"));
  folder.write("2", shard("c"));
  auto const path = folder.write("index.json", index_of(R"("a":"1","b":"1","c":"2")"));
  auto const set = TensorSet::open_sharded(path);
  auto const c = set.find("c");
  ASSERT_NE(c.tensor, nullptr);
  EXPECT_EQ(as_text(c.tensor->bytes), "c");
  EXPECT_EQ(c.where(), (folder.path() / "2").string());
  EXPECT_EQ(set.find("d").tensor, nullptr);
  EXPECT_EQ(set.files().size(), 2u);
}

TEST(TensorSet, OpensASingleFile) {
  auto const folder = TemporaryFolder{};
  auto const set = TensorSet::open(folder.write("m", shard("ab")));
  auto const* const tensor = set.find("b").tensor;
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(as_text(tensor->bytes), "b");
}

TEST(TensorSet, FollowsLinksInsideTheFolderAndIntoTheCache) {
  auto const folder = TemporaryFolder{};
  folder.write("blobs/0123", shard("a"));
  auto const path = folder.write("snapshots/abc/index.json", index_of(R"("a":"1")"));
  std::filesystem::create_symlink("../../blobs/0123", folder.path() / "snapshots/abc/1");
  EXPECT_EQ(input_error_of([&] { TensorSet::open_sharded(path); }), "no error");
  folder.write("plain/real", shard("a"));
  std::filesystem::create_symlink("real", folder.path() / "plain/1");
  auto const plain = folder.write("plain/index.json", index_of(R"("a":"1")"));
  EXPECT_EQ(input_error_of([&] { TensorSet::open_sharded(plain); }), "no error");
}

TEST(TensorSet, RefusesWrongIndices) {
  auto const folder = TemporaryFolder{};
  folder.write("outside", shard("a"));
  folder.write("m/1", shard("ab"));
  folder.write("m/2", shard("bc"));
  folder.write("m/3", shard("c"));
  std::filesystem::create_symlink("../outside", folder.path() / "m/link");
  struct Case {
    std::string index, expected;
  };
  auto const cases = std::vector<Case>{
      {"[]", "weight_map: expected an object"},
      {"{}", "weight_map: expected an object"},
      {R"({"weight_map":[]})", "weight_map: expected an object"},
      {index_of(""), "weight_map: expected at least one tensor"},
      {index_of(R"("a":1)"), "weight_map \"a\": expected the name of a file, found 1"},
      {index_of(R"("a":"../outside")"), "expected a plain file name without folders"},
      {index_of(R"("a":"..")"), "expected a plain file name without folders"},
      {index_of(R"("a":"")"), "expected a plain file name without folders"},
      {index_of(R"("a":"/etc/passwd")"), "expected a plain file name without folders"},
      {index_of(R"("a":"x\\y")"), "expected a plain file name without folders"},
      {index_of(R"("a":"1\u0000")"), "expected a plain file name without folders"},
      {index_of(R"("a":"index.json")"), "expected a shard, not the index itself"},
      {index_of(R"("a":"link")"), "expected a file inside its folder, found a link out of it"},
      {index_of(R"("a":"4")"), "4: expected a file, found none"},
      {index_of(R"("a":"1","a":"1","b":"1")"), "duplicate key \"a\""},
      {index_of(R"("a":"1","b":"1","c":"1")"), "tensor \"c\" is absent from 1"},
      {index_of(R"("a":"1")"), "tensor \"b\" of 1 is not listed there"},
      {index_of(R"("a":"1","b":"1","c":"2")"), "tensor \"b\" of 2 is not listed there"},
      {index_of(R"("a":"3","c":"3")"), "tensor \"a\" is absent from 3"},
  };
  for (auto const& [index, expected] : cases) {
    auto const path = folder.write("m/index.json", index);
    auto const error = input_error_of([&] { TensorSet::open_sharded(path); });
    EXPECT_NE(error.find(expected), std::string::npos) << index << " gave " << error;
  }
}

}  // namespace
}  // namespace qlora
