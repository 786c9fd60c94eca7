// The whole stack as a user's program drives it, with policies of the user's own and runtime ones.
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/esm2.hpp>

#include "support/errors.hpp"

namespace qlora {
namespace {

using Runtime =
    Experiment<model::Dynamic, quant::Any, placement::Sites, CardMetrics, backend::Native>;

std::string model_path(std::string const& name) {
  return std::string{QLORA_TEST_DATA} + "/models/" + name;
}
std::vector<Protein> proteins() {
  return read_binding_sites(std::string{QLORA_TEST_DATA} + "/train/data.txt");
}

Runtime load(std::string const& model, std::string const& scheme = "none") {
  return Runtime::load(model_path(model), {.rank = 2, .seed = 3}, quant::Any::parse(scheme),
                       placement::Sites::of(Qkv{}));
}
std::vector<float> logits(Runtime experiment) {
  auto const data = proteins();
  auto all = std::vector<float>{};
  experiment.predict(data, [&](std::size_t, Matrix<float const> rows) {
    all.insert(all.end(), rows.data(), rows.data() + rows.size());
  });
  return all;
}

TEST(Experiment, ReadsAFolderHoweverItIsStored) {
  EXPECT_EQ(logits(load("odd")), logits(load("odd_sharded")));
  for (auto const* const scheme : {"nf4", "fp4", "int8"}) {
    auto const stored = logits(load(std::string{"tiny_"} + scheme));
    auto const made = logits(load("tiny", scheme));
    ASSERT_EQ(stored.size(), made.size());
    for (auto i = std::size_t{0}; i < made.size(); ++i) {
      ASSERT_NEAR(stored[i], made[i], 1e-4 + 1e-4 * std::abs(made[i])) << scheme;
    }
  }
}

TEST(Experiment, AnnouncesAFreshHead) {
  EXPECT_FALSE(load("odd").fresh_head());
  EXPECT_FALSE(load("tiny_nf4_head").fresh_head());  // in 4 bits
  EXPECT_TRUE(load("odd_no_head").fresh_head());
}

TEST(Experiment, TakesRandomWeightsForABaseWithoutPretraining) {
  auto const untrained = [](std::uint64_t seed) {
    return Runtime::untrained(model_path("odd"), {.rank = 2, .seed = seed},
                              quant::Any::parse("nf4"), placement::Sites::of(Qkv{}));
  };
  auto first = untrained(3);
  EXPECT_TRUE(first.fresh_head());  // although the folder brings one
  EXPECT_EQ(logits(untrained(3)), logits(untrained(3)));
  EXPECT_NE(logits(untrained(3)), logits(untrained(4)));
  EXPECT_NE(logits(untrained(3)), logits(load("odd", "nf4")));
  auto const records = first.fit(proteins(), {.epochs = 1});
  EXPECT_TRUE(std::isfinite(records.back().loss));
}

TEST(Experiment, LearnsAndIsReproducible) {
  auto const data = proteins();
  auto const options = FitOptions{.epochs = 3, .learning_rate = 5e-3, .batch = {.tokens = 400}};
  auto first = load("odd", "nf4");
  auto second = load("odd", "nf4");
  auto const history = first.fit(data, options);
  second.fit(data, options);
  EXPECT_LT(history.back().loss, history.front().loss);
  EXPECT_EQ(first.evaluate(data)["loss"], second.evaluate(data)["loss"]);
}

TEST(Experiment, SavesAnAdapterThatComputesTheSame) {
  auto const data = proteins();
  auto const folder = ::testing::TempDir() + "/qlora_experiment_adapter";
  for (auto const& placement :
       {placement::Sites::of(Qkv{}), placement::Sites::of(AllLinear{}),
        placement::Sites::of(HeadOnly{}), placement::Sites::of(CardLiteral{}),
        placement::Sites{"outputs", [](Site site) { return site.kind == SiteKind::output; }}}) {
    auto const lora = LoraOptions{.rank = 2, .alpha = 3.f, .seed = 3};
    auto trained = Runtime::load(model_path("odd"), lora, quant::Any{}, placement);
    trained.fit(data, {.epochs = 1, .learning_rate = 1e-2});
    trained.save_adapter(folder);
    auto const adapter = PeftAdapter::read(folder);
    auto loaded =
        Runtime::load(model_path("odd"), adapter.config.lora, quant::Any{}, placement_of(adapter));
    loaded.load_adapter(folder);
    auto const expected = logits(std::move(trained));
    auto const got = logits(std::move(loaded));
    for (auto i = std::size_t{0}; i < expected.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], 1e-5) << placement.name;
    }
  }
  std::filesystem::remove_all(folder);
}

TEST(Experiment, RefusesAnAdapterThatDoesNotFit) {
  auto const as_golden = LoraOptions{.rank = 3, .alpha = 5.f};
  auto const refusal = [&](std::string const& adapter, placement::Sites const& placement,
                           LoraOptions const& lora) {
    auto experiment = Runtime::load(model_path("odd"), lora, quant::Any{}, placement);
    auto const parameters = experiment.network().parameters().values();
    auto const before = std::vector(parameters.begin(), parameters.end());
    auto const folder = std::string{QLORA_TEST_DATA} + "/lora/" + adapter;
    auto const message = testing::message_of<InputError>([&] { experiment.load_adapter(folder); });
    EXPECT_EQ(message == "no error", before != std::vector(parameters.begin(), parameters.end()));
    auto const place = folder + ": ";
    return message.starts_with(place) ? message.substr(place.size()) : message;
  };
  auto const [qkv, all, head] = std::tuple{placement::Sites::of(Qkv{}),
                                           placement::Sites::of(AllLinear{}), placement::Sites{}};
  EXPECT_EQ(refusal("qkv", qkv, as_golden), "no error");
  EXPECT_EQ(refusal("all", qkv, as_golden),
            "esm.encoder.layer.0.attention.output.dense: found LoRA factors for a module that the "
            "model leaves as it is");
  EXPECT_EQ(refusal("qkv", head, as_golden),
            "esm.encoder.layer.0.attention.self.key: found LoRA factors for a module that the "
            "model leaves as it is");
  EXPECT_EQ(refusal("qkv", all, as_golden),
            "esm.encoder.layer.0.attention.output.dense: expected LoRA factors, found none");
  EXPECT_EQ(refusal("qkv", qkv, {.rank = 2, .alpha = 5.f}),
            "rank: expected 2 as in the model, found 3");
  EXPECT_EQ(refusal("qkv", qkv, {.rank = 3, .alpha = 6.f}).substr(0, 36),
            "scale: expected 2.0 as in the model,");
  EXPECT_NE(refusal("qkv", qkv, {.rank = 3}).find("scale"), std::string::npos);
  EXPECT_NE(refusal("all_rslora", all, as_golden).find("scale"), std::string::npos);
}

TEST(Experiment, TrainsTheHeadAloneUnlessItIsToldWhereAdaptersGo) {
  auto head = Runtime::load(model_path("odd"));
  EXPECT_EQ(head.trainable_parameters(), 2 * 40 + 2);
  EXPECT_NO_THROW(head.fit(proteins(), {.epochs = 1}));
}

TEST(Experiment, CountsAProteinOfWhichNothingIsKnownAsNone) {
  auto data = proteins();
  auto experiment = load("odd");
  auto const expected = experiment.evaluate(data);
  data.insert(data.begin() + 1, {.id = "unknown", .sequence = "MKV", .labels = {}});
  auto seen = std::size_t{0};
  auto const found = experiment.evaluate(data, [&](std::size_t i) { EXPECT_EQ(i, seen++); });
  EXPECT_EQ(seen, data.size());
  EXPECT_EQ(found.values, expected.values);
  EXPECT_EQ(found.proteins, expected.proteins);
}

TEST(Experiment, NamesTheProteinThatCannotBeUsed) {
  auto experiment = load("odd");
  auto const evaluated = [&](std::vector<std::int8_t> labels) {
    auto const data =
        std::vector<Protein>{{.id = "it", .sequence = "MKV", .labels = std::move(labels)}};
    return testing::message_of<Error>([&] { experiment.evaluate(data); });
  };
  EXPECT_EQ(evaluated({0, 1}), "it: expected 3 labels or none, found 2");
  EXPECT_EQ(evaluated({0, 2, 0}), "it: expected labels 0, 1 or negative, found 2");
  experiment.network().classifier()(1, 0) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(evaluated({0, 1, 0}).find("it, residue 1: expected finite logits, found "), 0u);
}

/// Policies of a user's own: four bits at equal distances, and adapters on values above layer 0.
struct Uniform4 {
  static constexpr std::string_view name = "uniform4";
  static constexpr int bits = 4;
  static constexpr Index block = 32;
  static constexpr bool double_quantized = false;
  static std::uint8_t encode(float x) {
    return static_cast<std::uint8_t>(std::lround((x + 1.f) * 7.5f));
  }
  static float decode(std::uint8_t code) { return static_cast<float>(code) / 7.5f - 1.f; }
};
struct UpperValues {
  static constexpr bool adapts(Site site) { return site.layer > 0 && site.kind == SiteKind::value; }
};
struct Odd {
  static constexpr std::string_view name = "Odd";
  static constexpr Index hidden = 40, layers = 3, heads = 4, intermediate = 104, vocabulary = 33;
};
using Own = Experiment<Odd, Uniform4, UpperValues, MetricSet<metrics::AveragePrecision>,
                       backend::Cpu<EigenProducts>>;

TEST(Experiment, TakesPoliciesOfAUsersOwn) {
  auto own = Own::load(model_path("odd"), {.rank = 1});
  EXPECT_EQ(own.trainable_parameters(), 2 * (40 + 40) + 2 * 40 + 2);
  auto const data = proteins();
  auto const before = own.evaluate(data)["average_precision"];
  own.fit(data, {.epochs = 4, .learning_rate = 1e-2});
  EXPECT_GT(own.evaluate(data)["average_precision"], before);
}

TEST(Experiment, RefusesImpossibleOptions) {
  EXPECT_THROW(Own::load(model_path("odd"), {.rank = 0}), InputError);
  auto own = Own::load(model_path("odd"));
  EXPECT_THROW(own.fit(proteins(), {.learning_rate = -1.}), InputError);
}

TEST(Experiment, RefusesAFolderOfOtherSizes) {
  EXPECT_THROW(Own::load(model_path("tiny")), ShapeError);
  EXPECT_THROW(Own::load(model_path("absent")), InputError);
}

TEST(Experiment, RefusesAFolderQuantizedOtherwise) {
  using Nf4Only = Experiment<model::Dynamic, Nf4<64>, HeadOnly, CardMetrics, backend::Native>;
  EXPECT_NO_THROW(Nf4Only::load(model_path("tiny_nf4")));
  EXPECT_THROW(Nf4Only::load(model_path("tiny_fp4")), InputError);
}

}  // namespace
}  // namespace qlora
