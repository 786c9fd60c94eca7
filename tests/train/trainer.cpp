// Whole runs against transformers + PEFT + torch, and what a run must never do.
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cpu.hpp>
#include <qlora/data/read.hpp>
#include <qlora/train/inference.hpp>
#include <qlora/train/trainer.hpp>

#include "support/golden.hpp"

namespace qlora::test {
namespace {

using Native = backend::Cpu<>;
using Model = Esm2<Native, Quantized<quant::Any>>;
using placement::Sites;

FitOptions golden_recipe(nlohmann::json const& golden) {
  return {.epochs = 10,
          .learning_rate = golden.at("learning_rate"),
          .weight_decay = .3,
          .clip = .5,
          .batch = {.sequences = 6},
          .order = Order::as_given};
}

/// A model at the start of a golden run.
template <Placement P>
Model start(std::string const& arm, P placement, float dropout = 0.f,
            quant::Any const& scheme = {}) {
  auto source = GoldenModel{"odd", scheme};
  auto const lora = LoraOptions{.rank = 3, .alpha = 5.f, .dropout = dropout};
  auto model = Model{golden_shape("odd"), source, Sites::of(placement), lora};
  auto const init = Golden{"train/" + arm + ".init/adapter_model.safetensors"};
  for (auto const& entry : model.parameters().entries()) {
    auto const values = init.floats(entry.name);
    std::copy(values.begin(), values.end(), model.parameters().value(entry).data());
  }
  return model;
}

std::vector<StepRecord> fit(Model& model, std::vector<Protein> const& proteins,
                            FitOptions const& options) {
  auto backend = Native{};
  auto trainer = Trainer{backend, model, std::span{proteins}, options};
  auto history = std::vector<StepRecord>{};
  trainer.run([&](StepRecord const& record) { history.push_back(record); }, [](std::int64_t) {});
  EXPECT_EQ(trainer.steps(), static_cast<std::int64_t>(history.size()));
  return history;
}

template <Placement P>
void expect_golden_run(std::string const& arm, quant::Any const& scheme, P placement) {
  auto const base = scheme.name == "none" ? ".full" : "." + std::string{scheme.name};
  auto const golden = golden_json("train/" + arm + base + ".json");
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  auto model = start(arm, placement, 0.f, scheme);
  auto const history = fit(model, proteins, golden_recipe(golden));
  ASSERT_EQ(history.size(), 50u);
  for (auto i = std::size_t{0}; i < history.size(); ++i) {
    auto const loss = golden.at("loss_f64").at(i).get<double>();
    auto const norm = golden.at("grad_norm_f64").at(i).get<double>();
    EXPECT_NEAR(history[i].loss, loss, 1e-4 * loss) << arm << " step " << i;
    EXPECT_NEAR(history[i].gradient_norm, norm, 1e-3 * norm) << arm << " step " << i;
    auto const rate = golden.at("learning_rates").at(i).get<double>();
    EXPECT_NEAR(history[i].learning_rate, rate, 1e-12 * golden.at("learning_rate").get<double>());
  }
  auto const last = Golden{"train/" + arm + base + ".final.safetensors"};
  for (auto const& entry : model.parameters().entries()) {
    EXPECT_LE(excess(model.parameters().value(entry), last.floats(entry.name), 1e-4, 1e-3), 1.)
        << entry.name;
  }
}

TEST(Trainer, RunsAsTheReferenceForQkv) {
  expect_golden_run("qkv", {}, Qkv{});
  expect_golden_run("qkv", Nf4<64>{}, Qkv{});
}
TEST(Trainer, RunsAsTheReferenceForAll) {
  expect_golden_run("all", {}, AllLinear{});
  expect_golden_run("all", Nf4<64>{}, AllLinear{});
}

TEST(Trainer, AccumulationAndRecomputationAreTheSameStep) {
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  auto options = golden_recipe(golden_json("train/all.full.json"));
  options.epochs = 1;
  auto whole = start("all", AllLinear{}, .5f);
  auto const expected = fit(whole, proteins, options);
  options.keep = Keep::inputs;
  auto recomputed = start("all", AllLinear{}, .5f);
  auto const same = fit(recomputed, proteins, options);
  options.accumulate = 4;
  auto parts = start("all", AllLinear{}, .5f);
  auto const close = fit(parts, proteins, options);
  for (auto i = std::size_t{0}; i < expected.size(); ++i) {
    EXPECT_EQ(same[i].loss, expected[i].loss);
    EXPECT_EQ(same[i].gradient_norm, expected[i].gradient_norm);
    EXPECT_NEAR(close[i].loss, expected[i].loss, 1e-5);
    EXPECT_EQ(close[i].tokens, expected[i].tokens);
  }
}

TEST(Trainer, ThreadsChangeNoBit) {
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  auto options = golden_recipe(golden_json("train/all.full.json"));
  options.epochs = 2;
  auto const threads = thread_count();
  auto results = std::vector<std::vector<float>>{};
  for (auto const count : {1, 2, 5}) {
    thread_count() = count;
    auto model = start("all", AllLinear{}, .3f);
    fit(model, proteins, options);
    auto const values = model.parameters().values();
    results.emplace_back(values.begin(), values.end());
  }
  thread_count() = threads;
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Trainer, UnknownResiduesDoNotCount) {
  auto proteins = read_binding_sites(golden_path("train/data.txt"));
  auto options = golden_recipe(golden_json("train/all.full.json"));
  options.epochs = 1;
  options.class_weighting = ClassWeighting::given;
  auto model = start("qkv", Qkv{});
  auto const before =
      std::vector(model.parameters().values().begin(), model.parameters().values().end());
  for (auto const unknown : {label_unknown, std::int8_t{-100}}) {
    for (auto& protein : proteins) protein.labels.assign(protein.labels.size(), unknown);
    for (auto const& record : fit(model, proteins, options)) {
      EXPECT_TRUE(record.skipped);
      EXPECT_EQ(record.loss, 0.);
    }
    EXPECT_EQ(before,
              std::vector(model.parameters().values().begin(), model.parameters().values().end()));
    options.class_weighting = ClassWeighting::balanced;
    EXPECT_THROW(fit(model, proteins, options), InputError);  // no class to balance
    options.class_weighting = ClassWeighting::given;
  }
}

TEST(Trainer, RefusesLabelsThatAreNone) {
  auto model = start("qkv", Qkv{});
  for (auto const weighting : {ClassWeighting::none, ClassWeighting::balanced}) {
    for (auto const& labels : {std::vector<std::int8_t>{1, 0}, {1, 0, 2}}) {
      auto const proteins = std::vector<Protein>{{.id = "a", .sequence = "MKV", .labels = labels}};
      EXPECT_THROW(fit(model, proteins, {.epochs = 1, .class_weighting = weighting}), InputError);
    }
  }
}

TEST(Trainer, TakesAStepLargerThanItsPlan) {
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  auto all = std::vector<std::uint32_t>(proteins.size());
  std::iota(all.begin(), all.end(), 0u);
  auto const loss = [&](Index tokens) {
    auto model = start("qkv", Qkv{});
    auto backend = Native{};
    auto trainer =
        Trainer{backend, model, std::span{proteins}, FitOptions{.batch = {.tokens = tokens}}};
    return trainer.learn(all, 0, 0).loss;
  };
  EXPECT_EQ(loss(50), loss(1'000'000));
}

TEST(Trainer, StopsWhenItDiverges) {
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  auto model = start("qkv", Qkv{});
  model.classifier()(0, 0) = std::numeric_limits<float>::quiet_NaN();
  auto const options = golden_recipe(golden_json("train/qkv.full.json"));
  EXPECT_THROW(fit(model, proteins, options), DivergedError);
}

/// Nine steps in a row without a finite loss, twice, with one between them that has one.
TEST(Trainer, SkipsStepsThatAreNotFinite) {
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  for (auto const poison :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto model = start("qkv", Qkv{});
    auto const is_bad = [](std::int64_t step) { return step >= 3 && step <= 21 && step != 12; };
    auto& place = model.classifier()(0, 0);
    auto whole = 0.f;
    auto const all = [&] {
      auto const& parameters = model.parameters();
      auto bytes = std::string{};
      for (auto const values :
           {parameters.values(), parameters.first_moments(), parameters.second_moments()}) {
        bytes.append(reinterpret_cast<char const*>(values.data()),
                     static_cast<std::size_t>(values.size()) * sizeof(float));
      }
      return bytes;
    };
    auto before = std::string{};
    auto skipped = 0, finite = 0;
    auto backend = Native{};
    auto const options = golden_recipe(golden_json("train/qkv.full.json"));
    auto trainer = Trainer{backend, model, std::span{proteins}, options};
    auto updates = std::int64_t{0};
    auto checkpointing = Checkpointing<float>{};
    checkpointing.due = [&](std::int64_t step, bool) { return step == trainer.steps(); };
    checkpointing.save = [&](TrainingState<float> const& state) { updates = state.updates; };
    trainer.run(
        [&](StepRecord const& record) {
          EXPECT_EQ(record.skipped, is_bad(record.step)) << record.step;
          if (record.skipped) {
            ++skipped;
            EXPECT_EQ(all(), before) << record.step;
            place = whole;
          } else {
            ++finite;
            EXPECT_NE(all(), before) << record.step;
          }
          if (is_bad(record.step + 1)) whole = std::exchange(place, poison);
          before = all();
        },
        [](std::int64_t) {}, checkpointing);
    EXPECT_EQ(skipped, 18);
    EXPECT_EQ(updates, finite);
  }
}

TEST(FitOptions, RefuseWhatMakesNoRun) {
  auto const infinity = std::numeric_limits<double>::infinity();
  auto const nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NO_THROW(check(FitOptions{}));
  EXPECT_NO_THROW(check(FitOptions{.learning_rate = 0., .weight_decay = 0., .clip = 0.}));
  EXPECT_NO_THROW(check(FitOptions{.batch = {.tokens = 0, .sequences = 1}}));
  for (auto const& impossible :
       {FitOptions{.epochs = 0}, FitOptions{.learning_rate = -1.}, FitOptions{.learning_rate = nan},
        FitOptions{.learning_rate = infinity}, FitOptions{.warmup_steps = -1},
        FitOptions{.weight_decay = -.1}, FitOptions{.weight_decay = nan}, FitOptions{.clip = -1.},
        FitOptions{.clip = nan}, FitOptions{.batch = {.tokens = 0}},
        FitOptions{.batch = {.sequences = -1}}, FitOptions{.accumulate = 0}}) {
    EXPECT_THROW(check(impossible), InputError);
  }
}

TEST(Inference, GivesTheResiduesOfEachProtein) {
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  auto model = start("qkv", Qkv{});
  auto backend = Native{};
  auto expected = std::vector<float>{};
  auto collect = [](std::vector<float>& into) {
    return [&into](std::size_t, Matrix<float const> logits) {
      into.insert(into.end(), logits.data(), logits.data() + logits.size());
    };
  };
  for_each_logits(backend, model, std::span{proteins}, 1, collect(expected));
  auto packed = std::vector<float>{};
  for_each_logits(backend, model, std::span{proteins}, 300, collect(packed));
  EXPECT_EQ(packed, expected);
  auto residues = std::size_t{0};
  for (auto const& protein : proteins) residues += protein.sequence.size();
  EXPECT_EQ(packed.size(), residues * 2);
}

TEST(Schedule, RisesThenFalls) {
  EXPECT_DOUBLE_EQ(learning_rate(Schedule::constant, 2., 7, 10, 0), 2.);
  EXPECT_DOUBLE_EQ(learning_rate(Schedule::constant, 2., 1, 10, 4), .5);
  EXPECT_DOUBLE_EQ(learning_rate(Schedule::linear, 2., 5, 10, 0), 1.);
  EXPECT_DOUBLE_EQ(learning_rate(Schedule::cosine, 2., 6, 10, 2), 1.);
  EXPECT_DOUBLE_EQ(learning_rate(Schedule::cosine, 2., 0, 10, 0), 2.);
}

TEST(EpochPlan, CoversEveryRecordOnce) {
  auto const proteins = read_binding_sites(golden_path("train/data.txt"));
  for (auto const batch : {BatchOptions{.tokens = 100}, BatchOptions{.sequences = 7}}) {
    auto const plan = EpochPlan{proteins, batch, Order::shuffled, 3, 1};
    auto seen = std::vector<std::uint32_t>{};
    for (auto i = std::size_t{0}; i < plan.steps(); ++i) {
      auto tokens = Index{0};
      for (auto const record : plan.step(i)) {
        seen.push_back(record);
        tokens += token_count(proteins[record]);
      }
      EXPECT_TRUE(batch.sequences > 0 || plan.step(i).size() == 1 || tokens <= batch.tokens);
      EXPECT_TRUE(batch.sequences == 0 || plan.step(i).size() <= 7u);
    }
    auto const other = EpochPlan{proteins, batch, Order::shuffled, 3, 2};
    EXPECT_NE(std::vector(other.step(0).begin(), other.step(0).end()),
              std::vector(plan.step(0).begin(), plan.step(0).end()));
    std::ranges::sort(seen);
    auto all = std::vector<std::uint32_t>(proteins.size());
    std::iota(all.begin(), all.end(), 0u);
    EXPECT_EQ(seen, all);
  }
}

TEST(ClassWeights, AreBalancedOverLabelledResidues) {
  auto const proteins = std::vector<Protein>{{"a", "ACDEF", {0, 0, 0, 1, -1}}};
  auto const weights = class_weights(ClassWeighting::balanced, proteins);
  EXPECT_DOUBLE_EQ(weights[0], 4. / 6.);
  EXPECT_DOUBLE_EQ(weights[1], 2.);
  EXPECT_DOUBLE_EQ(class_weights(ClassWeighting::sqrt, proteins)[1], std::sqrt(2.));
  EXPECT_EQ(class_weights(ClassWeighting::given, proteins, {2., 3.})[1], 3.);
  for (auto const weight : {0., -1., std::numeric_limits<double>::infinity(), std::nan("")}) {
    EXPECT_THROW(class_weights(ClassWeighting::given, proteins, {1., weight}), InputError);
  }
  auto const negative = std::vector<Protein>{{"a", "AC", {0, 0}}};
  EXPECT_THROW(class_weights(ClassWeighting::balanced, negative), InputError);
}

TEST(AdamW, StepsAsTorch) {
  auto const golden = Golden{"adamw.safetensors"};
  auto const settings = golden_json("adamw.json");
  auto backend = Native{};
  for (auto const& [name, decay] : settings.at("weight_decay").items()) {
    auto values = golden.floats(name + ".initial");
    auto const gradients = golden.floats(name + ".gradients");
    auto const steps = golden.floats(name + ".steps");
    auto const size = static_cast<Index>(values.size());
    auto moments = std::vector<float>(2 * values.size());
    auto numbers = StepNumbers{};
    for (auto step = std::size_t{0}; step < 20; ++step) {
      backend.count_update({&numbers, {1}});
      auto const at = step * values.size();
      backend.adamw({values.data(), {size}}, {gradients.data() + at, {size}},
                    {moments.data(), {size}}, {moments.data() + size, {size}},
                    {.learning_rate = settings.at("learning_rates").at(step),
                     .epsilon = settings.at("eps"),
                     .weight_decay = decay},
                    {&numbers, {1}});
      auto const expected = std::vector(steps.begin() + static_cast<std::ptrdiff_t>(at),
                                        steps.begin() + static_cast<std::ptrdiff_t>(at) + size);
      EXPECT_LE(excess(values, expected, 1e-6, 1e-5), 1.) << name << " step " << step;
    }
  }
}

/// Parameters that threads update in pieces.
TEST(AdamW, UpdatesEachParameterOfMany) {
  constexpr auto size = 2 * backend::parameters_of_piece + 7;
  auto const filled = [&](float step) {
    auto values = std::vector<float>(size);
    for (auto i = std::size_t{0}; i < values.size(); ++i) {
      values[i] = step * static_cast<float>(i % 1001) - .1f;
    }
    return values;
  };
  auto const view = [](auto& values) { return Vector<float>{values.data(), {size}}; };
  auto gradients = filled(.003f);
  auto values = filled(.01f), first = filled(.02f), second = filled(.5f);
  for (auto& value : second) value = std::abs(value);
  auto expected = values, expected_first = first, expected_second = second;
  auto numbers = StepNumbers{1., 1., 1.};
  auto const options = AdamWStep{};
  reference::adamw(view(expected), Vector<float const>{view(gradients)}, view(expected_first),
                   view(expected_second), formula::AdamW<float>{options, numbers});
  Native{}.adamw(view(values), view(gradients), view(first), view(second), options,
                 {&numbers, {1}});
  EXPECT_EQ(values, expected);
  EXPECT_EQ(first, expected_first);
  EXPECT_EQ(second, expected_second);
}

TEST(AdamW, ChangesNothingUnlessAllIsFinite) {
  auto const nan = std::numeric_limits<double>::quiet_NaN();
  auto const infinity = std::numeric_limits<double>::infinity();
  auto backend = Native{};
  auto const gradient = 2.f;
  for (auto const& [loss, norm] :
       {std::pair{nan, 1.}, {infinity, 1.}, {-infinity, 1.}, {1., nan}, {1., infinity}, {1., 1.}}) {
    auto value = 3.f, first = 4.f, second = 5.f;
    auto numbers = StepNumbers{.loss = loss, .squared_norm = norm, .updates = 7.};
    backend.count_update({&numbers, {1}});
    backend.adamw({&value, {1}}, {&gradient, {1}}, {&first, {1}}, {&second, {1}}, AdamWStep{},
                  {&numbers, {1}});
    auto const is_finite = loss == 1. && norm == 1.;
    EXPECT_EQ(value != 3.f || first != 4.f || second != 5.f, is_finite) << loss << " " << norm;
    EXPECT_EQ(numbers.updates, is_finite ? 8. : 7.);
  }
}

}  // namespace
}  // namespace qlora::test
