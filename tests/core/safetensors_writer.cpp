#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/safetensors_writer.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::TemporaryFolder;

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  auto const folder = TemporaryFolder{};
  auto const path = folder.path() / "m";
  auto const codes = std::array<std::uint8_t, 3>{1, 2, 3};
  auto const values = std::array{1.f, 2.f, 3.f, 4.f, 5.f, 6.f};
  auto const scalar = std::array{7.f};
  auto const tensors = std::vector<StoredTensor>{
      {"codes", Dtype::u8, {3, 1}, std::as_bytes(std::span{codes})},
      float_tensor("values \"quoted\" \xc3\xa9", {2, 3}, values),
      float_tensor("scalar", {}, scalar),
      float_tensor("empty", {0, 5}, {}),
  };
  write_safetensors(path, tensors);

  auto const file = SafetensorsFile{path};
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}}));
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (auto const& tensor : tensors) {
    auto const& stored = file.at(tensor.name);
    EXPECT_EQ(stored.dtype, tensor.dtype);
    EXPECT_EQ(stored.shape, tensor.shape);
    EXPECT_TRUE(std::ranges::equal(stored.bytes, tensor.bytes));
  }
}

TEST(SafetensorsWriter, AlignsEveryTensor) {
  auto const folder = TemporaryFolder{};
  auto const bytes = std::array<std::byte, 24>{};
  auto const part = [&](std::size_t size) { return std::span{bytes}.first(size); };
  write_safetensors(folder.path() / "m",
                    std::vector<StoredTensor>{{"a", Dtype::u8, {3}, part(3)},
                                              {"b", Dtype::f64, {1}, part(8)},
                                              {"c", Dtype::bf16, {3}, part(6)},
                                              {"d", Dtype::f32, {1}, part(4)}});
  auto const content = testing::read_file(folder.path() / "m");
  auto header_bytes = std::uint64_t{0};
  std::memcpy(&header_bytes, content.data(), 8);
  EXPECT_EQ(header_bytes % 8, 0u);
  auto const file = SafetensorsFile{folder.path() / "m"};
  for (auto const& tensor : file.tensors()) {
    auto const address = reinterpret_cast<std::uintptr_t>(tensor.bytes.data());
    EXPECT_EQ(address % element_bytes(tensor.dtype), 0u) << tensor.name;
  }
}

TEST(SafetensorsWriter, AsksForOneTensorAtATime) {
  auto const folder = TemporaryFolder{};
  auto const specs = std::vector<TensorSpec>{{"b", Dtype::u8, {2}}, {"a", Dtype::u8, {2}}};
  auto buffer = std::array<std::byte, 2>{};
  auto asked = std::vector<std::size_t>{};
  write_safetensors(folder.path() / "m", specs, [&](std::size_t i) {
    asked.push_back(i);
    buffer.fill(std::byte{i == 0 ? std::uint8_t{'B'} : std::uint8_t{'A'}});
    return std::span<std::byte const>{buffer};
  });
  EXPECT_EQ(asked, (std::vector<std::size_t>{1, 0}));
  auto const file = SafetensorsFile{folder.path() / "m"};
  EXPECT_EQ(as_text(file.at("a").bytes), "AA");
  EXPECT_EQ(as_text(file.at("b").bytes), "BB");
}

TEST(SafetensorsWriter, WritesNoMetadataAndNoTensors) {
  auto const folder = TemporaryFolder{};
  write_safetensors(folder.path() / "m", std::vector<StoredTensor>{}, Metadata{});
  EXPECT_TRUE(SafetensorsFile{folder.path() / "m"}.tensors().empty());
}

TEST(SafetensorsWriter, RefusesBytesThatDoNotFitTheShape) {
  auto const folder = TemporaryFolder{};
  auto const values = std::array{1.f};
  auto const path = folder.path() / "m";
  auto const error = testing::input_error_of(
      [&] { write_safetensors(path, std::vector<StoredTensor>{float_tensor("a", {2}, values)}); });
  EXPECT_EQ(error, path.string() + ": tensor \"a\": expected 8 bytes, got 4");
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace qlora
