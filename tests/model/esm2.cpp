// Forward and backward passes against transformers and PEFT, in every product policy and precision.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cpu.hpp>
#include <qlora/data/read.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/quant/any.hpp>

#include "support/golden.hpp"

namespace qlora::test {
namespace {

/// Copies the parameters that a PEFT file holds into a model.
template <class M>
void load_parameters(M& model, std::string const& file) {
  auto const golden = Golden{file};
  for (auto const& entry : model.parameters().entries()) {
    auto const values = golden.numbers(entry.name);
    auto const target = model.parameters().value(entry);
    ASSERT_EQ(static_cast<Index>(values.size()), target.size()) << entry.name;
    for (auto i = Index{0}; i < target.size(); ++i) {
      target[i] = static_cast<typename M::A>(values[static_cast<std::size_t>(i)]);
    }
  }
}

/// The run-time members of the policies: one model to compile for each backend.
template <class B>
using Model = Esm2<B, Quantized<quant::Any>>;
using placement::Sites;

template <class B>
Model<B> make_model(std::string const& name, quant::Any const& scheme = {},
                    Sites const& placement = Sites::of(HeadOnly{}), LoraOptions const& lora = {}) {
  auto source = GoldenModel{name, scheme};
  auto model = Model<B>{golden_shape(name), source, placement, lora};
  auto const set = [&](std::string const& tensor, auto view) {
    auto const values = source.tensor(tensor, 1, view.size());
    for (auto i = Index{0}; i < view.size(); ++i) {
      view.data()[i] = static_cast<typename B::Accumulator>(values.data()[i]);
    }
  };
  set("classifier.weight", model.classifier());
  set("classifier.bias", model.classifier_bias());
  return model;
}

std::vector<std::string> golden_sequences(std::string const& name) {
  return golden_json("forward/" + name + ".json").at("sequences").get<std::vector<std::string>>();
}

PackedBatch golden_batch(std::string const& name) {
  auto batch = PackedBatch{};
  auto sample = std::uint32_t{0};
  for (auto const& sequence : golden_sequences(name)) batch.add({"", sequence, {}}, sample++);
  return batch;
}

template <class B>
class Forward : public ::testing::Test {};
using Backends =
    ::testing::Types<backend::Cpu<EigenProducts, float>, backend::Cpu<backend::BestProducts, float>,
                     backend::Cpu<EigenProducts, double>>;
TYPED_TEST_SUITE(Forward, Backends);

TYPED_TEST(Forward, AgreesWithTransformersAtEveryLayer) {
  for (auto const* const name : {"odd", "tiny"}) {
    auto const golden = Golden{std::string{"forward/"} + name + ".safetensors"};
    auto model = make_model<TypeParam>(name);
    auto backend = TypeParam{};
    auto const batch = golden_batch(name);
    auto const logits = model.forward(backend, batch, Keep::everything);

    auto const tokens = golden.numbers("tokens");
    ASSERT_EQ(batch.tokens(), static_cast<Index>(tokens.size()));
    for (auto i = Index{0}; i < batch.tokens(); ++i) {
      ASSERT_EQ(batch.token_ids()[i], tokens[static_cast<std::size_t>(i)]) << i;
    }
    EXPECT_LE(excess(model.residual(0), golden.floats("hidden.embedding"), 1e-4, 1e-4), 1.);
    for (auto i = std::size_t{0}; i < model.layers().size(); ++i) {
      auto const expected = golden.floats("hidden.layer." + std::to_string(i));
      EXPECT_LE(excess(model.residual(i + 1), expected, 1e-4, 1e-4), 1.) << name << " layer " << i;
    }
    EXPECT_LE(excess(model.features(), golden.floats("hidden.final"), 1e-4, 1e-4), 1.) << name;
    EXPECT_LE(excess(logits, golden.floats("logits"), 1e-4, 1e-4), 1.) << name;
  }
}

void expect_logits(std::string const& scheme) {
  for (auto const* const name : {"odd", "tiny"}) {
    auto model = make_model<backend::Cpu<>>(name, quant::Any::parse(scheme));
    auto backend = backend::Cpu<>{};
    auto const logits = model.forward(backend, golden_batch(name), Keep::nothing);
    auto const expected =
        Golden{std::string{"forward/"} + name + ".safetensors"}.floats("logits." + scheme);
    EXPECT_LE(excess(logits, expected, 1e-4, 1e-4), 1.) << name;
  }
}

TEST(QuantizedForward, AgreesOnNf4Weights) {
  expect_logits("nf4");
}
TEST(QuantizedForward, AgreesOnFp4Weights) {
  expect_logits("fp4");
}
TEST(QuantizedForward, AgreesOnInt8Weights) {
  expect_logits("int8");
}

TYPED_TEST(Forward, KeepingLessChangesNoBit) {
  auto model = make_model<TypeParam>("odd");
  auto backend = TypeParam{};
  auto const batch = golden_batch("odd");
  auto const everything = model.forward(backend, batch, Keep::everything);
  auto const expected = std::vector(everything.data(), everything.data() + everything.size());
  for (auto const keep : {Keep::inputs, Keep::nothing}) {
    auto other = make_model<TypeParam>("odd");
    EXPECT_EQ(excess(other.forward(backend, batch, keep), expected, 1e-300, 0.), 0.);
  }
}

/// A protein alone has the bits that it has in a batch of several tiles.
template <class B>
void expect_own_bits() {
  auto model = make_model<B>("odd");
  auto backend = B{};
  auto const together = golden_batch("odd");
  auto const threads = thread_count();
  for (auto const count : {1, 2, 3}) {
    thread_count() = count;
    auto const view = model.forward(backend, together, Keep::nothing);
    auto const logits = std::vector(view.data(), view.data() + view.size());
    auto row = std::size_t{0};
    for (auto const& sequence : golden_sequences("odd")) {
      auto alone = PackedBatch{};
      alone.add({"", sequence, {}}, 0);
      auto const own = model.forward(backend, alone, Keep::nothing);
      for (auto i = Index{0}; i < own.size(); ++i) {
        ASSERT_EQ(own.data()[i], logits[row * 2 + static_cast<std::size_t>(i)]) << sequence;
      }
      row += static_cast<std::size_t>(alone.tokens());
    }
    EXPECT_GT(row, 2u * 256u);
  }
  thread_count() = threads;
}

TYPED_TEST(Forward, NeitherNeighboursNorThreadsChangeAProtein) {
  expect_own_bits<TypeParam>();
}

template <class B>
class BFloat : public ::testing::Test {};
using NarrowBackends =
    ::testing::Types<backend::Cpu<EigenProducts, bf16>, backend::Cpu<backend::BestProducts, bf16>>;
TYPED_TEST_SUITE(BFloat, NarrowBackends);

TYPED_TEST(BFloat, NeitherNeighboursNorThreadsChangeAProtein) {
  expect_own_bits<TypeParam>();
}

// transformers' own error in bfloat16 is the yardstick.
TYPED_TEST(BFloat, IsAsCloseToFloatAsTransformers) {
  for (auto const* const name : {"odd", "tiny"}) {
    auto const golden = Golden{std::string{"forward/"} + name + ".safetensors"};
    auto model = make_model<TypeParam>(name);
    auto backend = TypeParam{};
    auto const logits = model.forward(backend, golden_batch(name), Keep::everything);
    auto const limits = golden_json(std::string{"forward/"} + name + ".json").at("bf16");
    auto const relative = [&](auto const& values, std::string const& tensor) {
      auto const expected = golden.floats(tensor);
      auto error = 0.;
      auto norm = 0.;
      for (auto i = std::size_t{0}; i < expected.size(); ++i) {
        error += std::pow(static_cast<double>(values.data()[i]) - expected[i], 2.);
        norm += std::pow(expected[i], 2.);
      }
      return std::sqrt(error / norm) / limits.at(tensor).template get<double>();
    };
    EXPECT_LE(relative(logits, "logits"), 1.25) << name;
    EXPECT_LE(relative(model.features(), "hidden.final"), 1.25) << name;
  }
}

/// Adapters and batch of the gradient goldens.
template <class B>
struct Lesson {
  B backend;
  Model<B> model;
  PackedBatch batch;
  MatrixTensor<typename B::Accumulator> d_logits;
  std::array<double, 2> class_weights{};
  double total_weight = 0.;

  Lesson(std::string const& adapter, quant::Any const& scheme, Sites const& placement,
         LoraOptions const& lora)
      : model{make_model<B>("odd", scheme, placement, lora)} {
    load_parameters(model, "lora/" + adapter + "/adapter_model.safetensors");
    auto sample = std::uint32_t{0};
    for (auto const& protein : read_binding_sites(golden_path("lora/batch.txt"))) {
      batch.add(protein, sample++);
    }
    auto const weights = Golden{"lora/batch.safetensors"}.floats("class_weights");
    class_weights = {weights[0], weights[1]};
    for (auto const label : batch.labels()) {
      if (label != PackedBatch::ignored) {
        total_weight += class_weights[static_cast<std::size_t>(label)];
      }
    }
    d_logits = MatrixTensor<typename B::Accumulator>{{batch.tokens(), 2}};
  }

  double loss(Keep keep = Keep::nothing, Dropout dropout = {}) {
    auto const logits = model.forward(backend, batch, keep, dropout);
    auto numbers = StepNumbers{};
    backend.cross_entropy(logits, batch.labels(), class_weights, 1. / total_weight, d_logits,
                          {&numbers, {1}});
    return numbers.loss / total_weight;
  }
  double learn(Keep keep, Dropout dropout = {}) {
    auto const value = loss(keep, dropout);
    backend.clear(model.parameters().gradients());
    model.backward(backend, d_logits);
    return value;
  }
};

constexpr auto odd_lora = LoraOptions{.rank = 3, .alpha = 5.f};
constexpr auto odd_rslora =
    LoraOptions{.rank = 3, .alpha = 5.f, .scaling = LoraScaling::rank_stabilised};

template <class B>
class Gradients : public ::testing::Test {};
TYPED_TEST_SUITE(Gradients, Backends);

template <class B>
void expect_gradients(std::string const& adapter, quant::Any const& scheme, Sites const& placement,
                      LoraOptions const& lora) {
  auto const base = scheme.name == "none" ? ".full" : "." + std::string{scheme.name};
  auto const outputs = Golden{"lora/" + adapter + base + ".outputs.safetensors"};
  auto const expected = Golden{"lora/" + adapter + base + ".gradients.safetensors"};
  for (auto const keep : {Keep::everything, Keep::inputs}) {
    auto lesson = Lesson<B>{adapter, scheme, placement, lora};
    EXPECT_NEAR(lesson.learn(keep), outputs.numbers("loss")[0], 1e-5);
    auto const logits = lesson.model.forward(lesson.backend, lesson.batch, keep);
    EXPECT_LE(excess(logits, outputs.floats("logits"), 1e-4, 1e-4), 1.);
    for (auto const& entry : lesson.model.parameters().entries()) {
      auto const gradient = expected.numbers(entry.name);
      auto largest = 0.;
      for (auto const value : gradient) largest = std::max(largest, std::abs(value));
      EXPECT_GT(largest, 0.) << entry.name;
      EXPECT_LE(excess(lesson.model.parameters().gradient(entry), gradient, 1e-5 * largest, 0.), 1.)
          << adapter << " " << entry.name;
    }
  }
}

TYPED_TEST(Gradients, OfQkvAgreeWithTorch) {
  expect_gradients<TypeParam>("qkv", {}, Sites::of(Qkv{}), odd_lora);
}
TYPED_TEST(Gradients, OfAllAgreeWithTorch) {
  expect_gradients<TypeParam>("all", {}, Sites::of(AllLinear{}), odd_lora);
}
TYPED_TEST(Gradients, OfRankStabilisedAgreeWithTorch) {
  expect_gradients<TypeParam>("all_rslora", {}, Sites::of(AllLinear{}), odd_rslora);
}

TEST(QuantizedGradients, AgreeWithTorch) {
  expect_gradients<backend::Cpu<>>("qkv", Nf4<64>{}, Sites::of(Qkv{}), odd_lora);
  expect_gradients<backend::Cpu<>>("all", Nf4<64>{}, Sites::of(AllLinear{}), odd_lora);
  expect_gradients<backend::Cpu<>>("all_rslora", Nf4<64>{}, Sites::of(AllLinear{}), odd_rslora);
}

/// A user's own placement: values and the feed-forward's output, above the first layer.
struct Sparse {
  static constexpr bool adapts(Site site) {
    return site.layer > 0 && (site.kind == SiteKind::value || site.kind == SiteKind::output);
  }
};
/// Query and value without key between them, and the classifier.
struct Interrupted {
  static constexpr bool adapts(Site site) {
    return site.kind == SiteKind::query || site.kind == SiteKind::value ||
           site.kind == SiteKind::classifier;
  }
};

template <class P>
class FiniteDifferences : public ::testing::Test {};
using Placements = ::testing::Types<Qkv, AllLinear, CardLiteral, HeadOnly, Sparse, Interrupted>;
TYPED_TEST_SUITE(FiniteDifferences, Placements);

TYPED_TEST(FiniteDifferences, AgreeInDoubleWithDropout) {
  using B = backend::Cpu<EigenProducts, double>;
  auto lesson = Lesson<B>{"all", {}, Sites::of(AllLinear{}), odd_lora};
  lesson.model =
      make_model<B>("odd", {}, Sites::of(TypeParam{}), {.rank = 3, .alpha = 5.f, .seed = 5});
  auto const values = lesson.model.parameters().values();
  auto random = RandomSequence{{.seed = 11}};
  for (auto& value : values) value += .1 * (random.uniform() - .5);

  auto const dropout = Dropout{.probability = .3f, .seed = 3, .step = 7};
  lesson.learn(Keep::everything, dropout);
  auto const gradients = lesson.model.parameters().gradients();
  for (auto const& entry : lesson.model.parameters().entries()) {
    for (auto probe = 0; probe < 3; ++probe) {
      auto const i = entry.offset + random.below(static_cast<std::uint32_t>(entry.size()));
      auto const value = values[i];
      auto constexpr step = 1e-5;
      values[i] = value + step;
      auto const above = lesson.loss(Keep::nothing, dropout);
      values[i] = value - step;
      auto const below = lesson.loss(Keep::nothing, dropout);
      values[i] = value;
      auto const expected = (above - below) / (2. * step);
      EXPECT_NEAR(gradients[i], expected, 1e-7 + 1e-3 * std::abs(expected)) << entry.name;
    }
  }
}

TEST(Esm2, TrainsThePublishedNumbersOfParameters) {
  // A source of nothing but sizes.
  struct Zeros {
    MatrixTensor<float> tensor(std::string const&, Index rows, Index columns) const {
      auto zeros = MatrixTensor<float>{{rows, columns}};
      std::fill_n(zeros.data(), zeros.size(), 0.f);
      return zeros;
    }
    Quantized<quant::Any> weight(Site, Index rows, Index columns) const {
      return quantize(quant::Any{Nf4<64>{}}, tensor("", rows, columns));
    }
  };
  auto const count = [](Index hidden, Index layers, auto placement, Index rank) {
    using B = backend::Cpu<EigenProducts, float>;
    auto source = Zeros{};
    auto const shape = nn::EncoderShape{
        .hidden = hidden, .layers = layers, .heads = 20, .intermediate = 4 * hidden};
    return Model<B>{shape, source, Sites::of(placement), {.rank = rank}}.parameters().size();
  };
  EXPECT_EQ(count(320, 6, Qkv{}, 2), 23'682);
  EXPECT_EQ(count(320, 6, AllLinear{}, 2), 69'762);
  EXPECT_EQ(count(320, 6, CardLiteral{}, 2), 24'326);
  EXPECT_EQ(count(320, 6, Qkv{}, 6), 69'762);
  EXPECT_EQ(count(320, 6, HeadOnly{}, 2), 642);
  EXPECT_EQ(count(480, 12, Qkv{}, 2), 70'082);
  EXPECT_EQ(count(480, 12, AllLinear{}, 2), 208'322);
}

TEST(Esm2, TakesNoMoreMemoryThanItsLargestPass) {
  using B = backend::Cpu<EigenProducts, float>;
  auto backend = B{};
  auto const large = golden_batch("odd");
  auto small = PackedBatch{};
  small.add({"", "ACDEF", {}}, 0);
  auto const bytes = [&](auto... passes) {
    auto model = make_model<B>("odd");
    (model.forward(backend, *passes.first, passes.second), ...);
    return model.activation_bytes();
  };
  auto const inference = std::pair{&large, Keep::nothing};
  auto const training = std::pair{&small, Keep::everything};
  auto const expected = std::max(bytes(inference), bytes(training));
  EXPECT_EQ(bytes(inference, training), expected);
  EXPECT_EQ(bytes(training, inference, training, inference), expected);
}

TEST(Esm2, RefusesABackwardPassOverNothing) {
  using B = backend::Cpu<EigenProducts, float>;
  auto model = make_model<B>("odd");
  auto backend = B{};
  auto const logits = model.forward(backend, golden_batch("odd"), Keep::nothing);
  EXPECT_THROW(model.backward(backend, logits), Error);
}

}  // namespace
}  // namespace qlora::test
