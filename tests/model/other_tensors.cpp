#include <string>

#include <gtest/gtest.h>

#include <qlora/model/other_tensors.hpp>

#include "model/variants.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::models;
using testing::TemporaryFolder;
using testing::Tensors;
using testing::variant_of;

TEST(CanonicalName, UndoesEverySpelling) {
  for (auto const& [spelling, name] : std::map<std::string, std::string>{
           {"encoder.layer.0.LayerNorm.gamma", "esm.encoder.layer.0.LayerNorm.weight"},
           {"esm.encoder.layer.0.attention.LayerNorm.beta",
            "esm.encoder.layer.0.attention.LayerNorm.bias"},
           {"contact_head.regression.weight", "esm.contact_head.regression.weight"},
           {"embeddings.position_embeddings.weight", "esm.embeddings.position_embeddings.weight"},
           {"lm_head.layer_norm.weight", "lm_head.layer_norm.weight"},
           {"classifier.weight", "classifier.weight"},
           {"esm.encoder.emb_layer_norm_after.weight",
            "esm.encoder.emb_layer_norm_after.weight"}}) {
    EXPECT_EQ(canonical_name(spelling), name);
  }
}

/// The other tensors of a folder, written and read again.
std::map<std::string, Tensors::Value> others(std::filesystem::path const& path) {
  auto const temporary = TemporaryFolder{};
  auto const folder = ModelFolder{path};
  auto draft = FolderDraft{};
  add_other_tensors(folder, draft);
  draft.write(temporary.path() / "out", folder.config(), path);
  return Tensors::of(temporary.path() / "out").values;
}

TEST(OtherTensors, AreCopiedAsTheyAre) {
  auto const original = Tensors::of(models / "odd_no_head").values;
  auto const found = others(models / "odd_no_head");
  EXPECT_EQ(found.size(), 8u);  // contact_head, lm_head, inv_freq
  for (auto const& [name, value] : found) EXPECT_EQ(value, original.at(name)) << name;

  auto const temporary = TemporaryFolder{};
  auto const bare = others(variant_of(temporary, "odd", [](Tensors& tensors) {
    tensors.spell_as_bare_encoder();
    tensors.values["encoder.layer.0.attention.self.rotary_embeddings.inv_freq"] = {
        Dtype::f16, {1}, std::vector<std::byte>(2)};
  }));
  EXPECT_EQ(bare.size(), 4u);
  EXPECT_TRUE(bare.contains("esm.contact_head.regression.weight"));
  EXPECT_EQ(bare.at("esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq").dtype,
            Dtype::f16);
}

TEST(OtherTensors, AreExpandedWhereTheyAreQuantized) {
  auto const original = Tensors::of(models / "tiny").values;
  auto const found = others(models / "tiny_nf4_head");
  EXPECT_EQ(found.size(), 3u);
  auto const& weight = found.at("esm.contact_head.regression.weight");
  EXPECT_EQ(weight.dtype, Dtype::f32);
  EXPECT_EQ(weight.shape, original.at("esm.contact_head.regression.weight").shape);
  EXPECT_EQ(others(models / "tiny_int8").size(), 3u);

  auto const temporary = TemporaryFolder{};
  auto const path = variant_of(temporary, "tiny_nf4", [](Tensors& tensors) {
    tensors.values["esm.pooler.dense.weight"] = {Dtype::u8, {4, 1}, std::vector<std::byte>(4)};
  });
  EXPECT_EQ(input_error_of([&] { others(path); }),
            "esm.pooler.dense.weight: expected full precision, got U8 (" +
                (path / "model.safetensors").string() + ")");
}

}  // namespace
}  // namespace qlora
