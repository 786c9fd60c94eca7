#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/model/merge.hpp>

#include "model/variants.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::models;
using testing::TemporaryFolder;
using testing::Tensors;
using testing::variant_of;

auto const goldens = std::filesystem::path{QLORA_TEST_DATA};

PeftAdapter golden_adapter(std::string const& name = "all") {
  return PeftAdapter::read(goldens / "lora" / name);
}

/// Every tensor of encoder and classifier agrees within PEFT's own rounding.
void expect_close(ModelFolder const& found, ModelFolder const& expected) {
  auto tensors = encoder_tensors(expected.config().shape);
  tensors.push_back(weight_shape(expected.config().shape, expected.classifier_site()));
  tensors.push_back({"classifier.bias", 1, 2, true});
  for (auto const& [name, rows, columns, is_vector] : tensors) {
    auto const have = found.tensor(name, rows, columns);
    auto const want = expected.tensor(name, rows, columns);
    for (auto i = Index{0}; i < want.size(); ++i) {
      auto const value = want.data()[i];
      ASSERT_NEAR(have.data()[i], value, 1e-5f + 1e-5f * std::fabs(value)) << name;
    }
  }
}

TEST(Merge, GivesWhatPeftGives) {
  auto const temporary = TemporaryFolder{};
  for (auto const* const name : {"all", "all_rslora"}) {
    auto const out = temporary.path() / name;
    auto const unmatched =
        merge_adapter(ModelFolder{models / "odd_sharded"}, golden_adapter(name), name, out);
    EXPECT_TRUE(unmatched.empty());
    expect_close(ModelFolder{out}, ModelFolder{goldens / "merge" / name});
    auto const written = Tensors::of(out).values;
    EXPECT_EQ(written.size(), Tensors::of(goldens / "merge" / name).values.size());
    EXPECT_TRUE(written.contains("esm.encoder.layer.0.attention.LayerNorm.weight"));
    auto const head = "esm.contact_head.regression.weight";
    EXPECT_EQ(written.at(head), Tensors::of(models / "odd").values.at(head));
  }
}

TEST(Merge, ReportsTargetsThatMatchNothing) {
  auto const temporary = TemporaryFolder{};
  auto const adapter = PeftAdapter::read(goldens / "card/adapter");
  EXPECT_EQ(merge_adapter(ModelFolder{models / "odd"}, adapter, "card", temporary.path()).size(),
            4u);
}

TEST(Merge, ExpandsAQuantizedBase) {
  auto const temporary = TemporaryFolder{};
  auto const base = ModelFolder{models / "tiny_nf4_head"};
  auto adapter = PeftAdapter{};
  adapter.config.target_modules = std::vector<std::string>{"classifier", "layer.1.output.dense"};
  adapter.config.modules_to_save = {};
  adapter.config.task_type = "";
  adapter.config.lora = {.rank = 1, .alpha = 2.f};
  auto const ones = [](std::size_t n) { return std::vector<float>(n, 1.f); };
  adapter.pairs["classifier"] = {64, 2, ones(64), ones(2)};
  adapter.pairs["esm.encoder.layer.1.output.dense"] = {128, 64, ones(128), ones(64)};
  merge_adapter(base, adapter, "a", temporary.path());

  auto const merged = ModelFolder{temporary.path()};
  EXPECT_FALSE(merged.config().quantization);
  for (auto const site :
       {merged.classifier_site(), Site{1, SiteKind::output}, Site{0, SiteKind::output}}) {
    auto const shape = weight_shape(merged.config().shape, site);
    auto const before = full_weight(base, shape);
    auto const after = std::get<FullWeight>(merged.weight(site));
    auto const added = site.layer == 0 ? 0.f : 2.f;
    for (auto i = Index{0}; i < before.size(); ++i) {
      ASSERT_NEAR(after.values.data()[i], before.data()[i] + added, 1e-6f);
    }
  }
}

TEST(Merge, TakesTheHeadThatThereIs) {
  auto const temporary = TemporaryFolder{};
  auto const base = ModelFolder{models / "odd_no_head"};
  auto adapter = golden_adapter();
  merge_adapter(base, adapter, "a", temporary.path() / "with");
  EXPECT_TRUE(ModelFolder{temporary.path() / "with"}.has_classifier());
  adapter.head.reset();
  merge_adapter(base, adapter, "a", temporary.path() / "without");
  EXPECT_FALSE(ModelFolder{temporary.path() / "without"}.has_classifier());

  adapter.pairs["classifier"] = {40, 2, std::vector<float>(120), std::vector<float>(6)};
  EXPECT_EQ(input_error_of([&] { merge_adapter(base, adapter, "a", temporary.path() / "x"); }),
            "a: classifier: expected one in the base model or the adapter, found LoRA factors "
            "alone");
}

TEST(Merge, WritesNothingThatIsWrong) {
  auto const temporary = TemporaryFolder{};
  auto const out = temporary.path() / "out";
  auto const refusal = [&](std::filesystem::path const& base) {
    auto const error =
        input_error_of([&] { merge_adapter(ModelFolder{base}, golden_adapter(), "a", out); });
    EXPECT_FALSE(std::filesystem::exists(out));
    return error;
  };
  EXPECT_EQ(refusal(models / "tiny"), "a: classifier: expected 2x64, got 2x40");
  auto const broken = variant_of(temporary, "odd", [](Tensors& tensors) {
    auto& bytes = tensors.values.at("esm.encoder.layer.2.output.dense.bias").bytes;
    std::ranges::fill(bytes, std::byte{0xff});
  });
  EXPECT_NE(refusal(broken).find("expected finite numbers"), std::string::npos);
  auto const other = variant_of(temporary, "odd", [](Tensors& tensors) {
    auto& bytes = tensors.values.at("esm.contact_head.regression.weight").bytes;
    std::ranges::fill(bytes, std::byte{0xff});
  });
  EXPECT_NE(refusal(other).find("expected finite numbers"), std::string::npos);
  auto huge = golden_adapter();
  for (auto& [path, pair] : huge.pairs) {
    std::ranges::fill(pair.a, 3e38f);
    std::ranges::fill(pair.b, 3e38f);
  }
  auto const infinite =
      input_error_of([&] { merge_adapter(ModelFolder{models / "odd"}, huge, "a", out); });
  EXPECT_TRUE(infinite.starts_with("a: ")) << infinite;
  EXPECT_NE(infinite.find("expected finite weights after merging"), std::string::npos) << infinite;
  EXPECT_FALSE(std::filesystem::exists(out));
  temporary.write("out/x", "");
  EXPECT_NE(input_error_of([&] {
              merge_adapter(ModelFolder{models / "odd"}, golden_adapter(), "a", out);
            }).find("expected an empty folder or none"),
            std::string::npos);
}

}  // namespace
}  // namespace qlora
