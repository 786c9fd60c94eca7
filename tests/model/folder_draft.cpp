#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/model/folder_draft.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::read_file;
using testing::TemporaryFolder;

auto const config =
    EsmConfig::read(std::filesystem::path{QLORA_TEST_DATA} / "models/odd/config.json");

/// A (rows, 4) matrix full of that number.
void add(FolderDraft& draft, std::string const& name, Index rows, float value) {
  draft.add({name, rows, 4, false}, [=] {
    auto values = MatrixTensor<float>{{rows, 4}};
    std::fill_n(values.data(), values.size(), value);
    return values;
  });
}

std::vector<float> floats(TensorSet const& set, std::string const& name) {
  auto const found = set.find(name);
  return read_floats(*found.tensor, found.where());
}

TEST(FolderDraft, WritesOneFileWhereItCan) {
  auto const temporary = TemporaryFolder{};
  auto const source = temporary.path() / "source";
  temporary.write("source/vocab.txt", "<cls>\n");
  temporary.write("source/tokenizer_config.json", "{}");
  temporary.write("source/secret.txt", "none of its business");
  auto const path = temporary.path() / "out";
  auto draft = FolderDraft{};
  add(draft, "a", 2, 1.f);
  draft.add({"v", 1, 4, true}, [] { return MatrixTensor<float>{{1, 4}}; });
  draft.write(path, config, source);

  auto files = std::vector<std::string>{};
  for (auto const& entry : std::filesystem::directory_iterator{path}) {
    files.push_back(entry.path().filename().string());
  }
  std::ranges::sort(files);
  EXPECT_EQ(files, (std::vector<std::string>{"config.json", "model.safetensors",
                                             "tokenizer_config.json", "vocab.txt"}));
  EXPECT_EQ(read_file(path / "vocab.txt"), "<cls>\n");
  EXPECT_EQ(EsmConfig::read(path / "config.json").to_json(), config.to_json());
  auto const set = TensorSet::open(path / "model.safetensors");
  EXPECT_EQ(floats(set, "a"), std::vector<float>(8, 1.f));
  EXPECT_EQ(set.find("a").tensor->shape, (Extents{2, 4}));
  EXPECT_EQ(set.find("v").tensor->shape, Extents{4});
}

TEST(FolderDraft, CutsIntoShardsBetweenGroups) {
  auto const temporary = TemporaryFolder{};
  auto const path = temporary.path() / "out";
  auto draft = FolderDraft{};
  add(draft, "a", 2, 1.f);  // 32 bytes
  auto const text = std::string(40, 'x');
  draft.add({{{"b.weight", Dtype::u8, {40}}, [&] { return bytes_of(text); }},
             {{"b.weight.absmax", Dtype::u8, {40}}, [&] { return bytes_of(text); }}});
  add(draft, "c", 1, 2.f);
  add(draft, "d", 2, 3.f);
  draft.write(path, config, temporary.path(), {.limit_bytes = 48});
  EXPECT_FALSE(std::filesystem::exists(path / "model.safetensors"));
  auto const set = TensorSet::open_sharded(path / "model.safetensors.index.json");
  ASSERT_EQ(set.files().size(), 3u);
  EXPECT_EQ(set.find("a").where(), (path / "model-00001-of-00003.safetensors").string());
  EXPECT_EQ(set.find("b.weight").where(), (path / "model-00002-of-00003.safetensors").string());
  EXPECT_EQ(set.find("b.weight.absmax").file, set.find("b.weight").file);
  EXPECT_EQ(set.find("c").where(), (path / "model-00003-of-00003.safetensors").string());
  EXPECT_EQ(floats(set, "d"), std::vector<float>(8, 3.f));
  auto const index = json::read_object(path / "model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], 32 + 80 + 16 + 32);
}

TEST(FolderDraft, LeavesNothingBehindWhenATensorFails) {
  auto const temporary = TemporaryFolder{};
  auto const path = temporary.path() / "out";
  auto draft = FolderDraft{};
  add(draft, "a", 2, 1.f);
  draft.add({"b", 1, 4, true}, []() -> MatrixTensor<float> { throw InputError{"b is broken"}; });
  EXPECT_EQ(
      input_error_of([&] { draft.write(path, config, temporary.path(), {.limit_bytes = 16}); }),
      "b is broken");
  EXPECT_FALSE(std::filesystem::exists(path));
  auto tensors = 0;
  auto const stop = [&] {
    if (++tensors == 2) throw InputError{"stopped"};
  };
  EXPECT_EQ(
      input_error_of([&] { draft.write(path, config, temporary.path(), {.before_tensor = stop}); }),
      "stopped");
  EXPECT_FALSE(std::filesystem::exists(path));
  temporary.write("out/x", "");
  EXPECT_NE(input_error_of([&] {
              draft.write(path, config, temporary.path());
            }).find("expected an empty folder or none"),
            std::string::npos);
}

}  // namespace
}  // namespace qlora
