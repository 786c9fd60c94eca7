/// Every verb of the CUDA backend against the CPU backend's readable loops: odd sizes, rows that
/// lie apart, sequences from one token on. Included where there is a `Device`: by a test that runs
/// kernels on the CPU, and by one that needs a GPU. It has `Backend<T>`, `Allocator<U>` of memory
/// that host and device share, `available()`, `wait()`, and `shuffle(seed)` of the order of
/// threads.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/verb_fixtures.hpp"

namespace qlora {
namespace {

static_assert(Backend<Device::Backend<float>>);
static_assert(Backend<Device::Backend<bf16>>);
static_assert(Backend<Device::Backend<double>>);

using ComputeTypes = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(Verbs, ComputeTypes);

TYPED_TEST(Verbs, Linear) {
  using T = TypeParam;
  using A = Accumulate<T>;
  auto x = Sample<T>{this->n, 20};
  auto w = Sample<T>{12, 20};
  auto bias = Line<A>{12};
  for (auto const write : {Write::assign, Write::accumulate}) {
    auto y = Sample<A>{this->n, 12};
    auto expected = y;
    this->cpu.template linear<A>(x.host(), w.host(), bias.host(), expected.host(), write);
    this->gpu->template linear<A>(x.device(), w.device(), bias.device(), y.device(), write);
    y.expect_near(expected, this->exact, "linear");
    auto dx = Sample<A>{this->n, 20};
    auto expected_dx = dx;
    auto dy = Sample<T>{this->n, 12};
    this->cpu.template linear_backward<A>(dy.host(), w.host(), expected_dx.host(), write);
    this->gpu->template linear_backward<A>(dy.device(), w.device(), dx.device(), write);
    dx.expect_near(expected_dx, this->exact, "linear_backward");
  }
  auto y = Sample<T>{this->n, 12};  // whose bias is rounded where T is narrow
  auto expected = y;
  this->cpu.template linear<T>(x.host(), w.host(), bias.host(), expected.host(), Write::assign);
  this->gpu->template linear<T>(x.device(), w.device(), bias.device(), y.device(), Write::assign);
  y.expect_near(expected, this->rounded, "linear, narrow");
}

TYPED_TEST(Verbs, LoraProject) {
  for_each_lying([&] {
    using T = TypeParam;
    using A = Accumulate<T>;
    for (auto const dropout : {0.f, .4f}) {
      for (auto const& [targets, rank, d] : {std::tuple<Index, Index, Index>{1, 1, 8},
                                             {3, 2, 45},
                                             {2, 9, 33},
                                             {1, 3, 300},
                                             {3, 2, 304},
                                             {2, 9, 64}}) {
        auto const input = LoraInput{targets, 5, {.probability = dropout, .seed = 9, .step = 4}};
        auto x = Sample<T>{this->n, d};
        auto a = Sample<A>{targets * rank, d};
        auto h = Sample<A>{this->n, targets * rank};
        auto expected_h = h;
        this->cpu.template lora_project<T>(x.host(), a.host(), input, this->host,
                                           expected_h.host());
        this->gpu->template lora_project<T>(x.device(), a.device(), input, this->device,
                                            h.device());
        h.expect_near(expected_h, this->exact, "h");

        auto dx = Sample<A>{this->n, d};
        auto expected_dx = dx;
        auto da = Sample<A>{targets * rank, d};
        auto expected_da = da;
        this->cpu.template lora_project_backward<T, A>(x.host(), a.host(), input, this->host,
                                                       h.host(), expected_dx.host(),
                                                       expected_da.host());
        this->gpu->template lora_project_backward<T, A>(x.device(), a.device(), input, this->device,
                                                        h.device(), dx.device(), da.device());
        dx.expect_near(expected_dx, this->exact, "dx");
        da.expect_near(expected_da, this->exact, "da");
        this->cpu.template lora_project_backward<T, T>(x.host(), a.host(), input, this->host,
                                                       h.host(), {}, expected_da.host());
        this->gpu->template lora_project_backward<T, T>(x.device(), a.device(), input, this->device,
                                                        h.device(), {}, da.device());
        da.expect_near(expected_da, this->exact, "da alone");
      }
    }
  });
}

TYPED_TEST(Verbs, LoraExpand) {
  for_each_lying([&] {
    using T = TypeParam;
    using A = Accumulate<T>;
    for (auto const& [rank, out] :
         {std::pair<Index, Index>{1, 1}, {2, 45}, {9, 300}, {2, 304}, {9, 64}}) {
      auto h = Sample<A>{this->n, rank};
      auto b = Sample<A>{out, rank};
      auto y = Sample<T>{this->n, out};
      auto expected_y = y;
      this->cpu.template lora_expand<T>(h.host(), b.host(), A{.7f}, expected_y.host());
      this->gpu->template lora_expand<T>(h.device(), b.device(), A{.7f}, y.device());
      y.expect_near(expected_y, this->rounded, "y");

      auto dy = Sample<T>{this->n, out};
      auto dh = Sample<A>{this->n, rank};
      auto expected_dh = dh;
      auto db = Sample<A>{out, rank};
      auto expected_db = db;
      this->cpu.template lora_expand_backward<T>(h.host(), b.host(), A{.7f}, dy.host(),
                                                 expected_dh.host(), expected_db.host());
      this->gpu->template lora_expand_backward<T>(h.device(), b.device(), A{.7f}, dy.device(),
                                                  dh.device(), db.device());
      dh.expect_near(expected_dh, this->exact, "dh");
      db.expect_near(expected_db, this->exact, "db");
    }
  });
}

TYPED_TEST(Verbs, LayerNorm) {
  for_each_lying([&] {
    using T = TypeParam;
    using A = Accumulate<T>;
    for (auto const d : {Index{1}, Index{31}, Index{40}, Index{321}, Index{400}, Index{648},
                         Index{1288}, Index{2568}}) {
      auto x = Sample<A>{this->n, d};
      auto gamma = Line<A>{d};
      auto beta = Line<A>{d};
      auto y = Sample<T>{this->n, d};
      auto expected_y = y;
      auto stats = Sample<A>{this->n, 2};
      auto expected_stats = stats;
      auto const epsilon = A{1e-3f};
      this->cpu.template layer_norm<T>(x.host(), gamma.host(), beta.host(), epsilon,
                                       expected_y.host(), expected_stats.host());
      this->gpu->template layer_norm<T>(x.device(), gamma.device(), beta.device(), epsilon,
                                        y.device(), stats.device());
      y.expect_near(expected_y, this->rounded, "y");
      stats.expect_near(expected_stats, this->exact, "stats");
      auto dy = Sample<A>{this->n, d};
      auto dx = Sample<A>{this->n, d};
      auto expected_dx = dx;
      this->cpu.layer_norm_backward(dy.host(), x.host(), gamma.host(), stats.host(),
                                    expected_dx.host());
      this->gpu->layer_norm_backward(dy.device(), x.device(), gamma.device(), stats.device(),
                                     dx.device());
      dx.expect_near(expected_dx, this->exact, "dx");
    }
  });
}

TYPED_TEST(Verbs, Gelu) {
  for_each_lying([&] {
    using T = TypeParam;
    for (auto const columns : {Index{65}, Index{72}}) {
      auto u = Sample<T>{this->n, columns, 5.};
      auto g = Sample<T>{this->n, columns};
      auto expected = g;
      this->cpu.gelu(u.host(), expected.host());
      this->gpu->gelu(u.device(), g.device());
      g.expect_near(expected, this->rounded, "gelu");
      this->cpu.gelu_backward(u.host(), expected.host(), expected.host());
      this->gpu->gelu_backward(u.device(), g.device(), g.device());
      g.expect_near(expected, this->rounded, "gelu_backward");
    }
  });
}

TYPED_TEST(Verbs, Rotary) {
  for_each_lying([&] {
    using T = TypeParam;
    using A = Accumulate<T>;
    for (auto const& [heads, head_dim] :
         {std::pair<Index, Index>{1, 2}, {3, 10}, {2, 24}, {3, 48}}) {
      auto x = Sample<T>{this->n, heads * head_dim};
      auto expected = x;
      for (auto const rotation : {Rotation::forward, Rotation::inverse}) {
        this->cpu.rotary(expected.host(), heads, this->host, A{.3f}, rotation);
        this->gpu->rotary(x.device(), heads, this->device, A{.3f}, rotation);
        x.expect_near(expected, this->rounded, "rotary");
      }
    }
  });
}

TYPED_TEST_SUITE(AttentionVerbs, ComputeTypes);

TYPED_TEST(AttentionVerbs, AgreeForEveryHeadDim) {
  for (auto const& [heads, head_dim] :
       {std::pair<Index, Index>{3, 10}, {2, 16}, {2, 24}, {1, 32}, {1, 64}, {1, 128}}) {
    this->expect_agreement(this->batch, heads, head_dim, 3);
    this->expect_agreement(this->batch, heads, head_dim, 8);
  }
}

TYPED_TEST(AttentionVerbs, AgreeOverManyTiles) {
  auto const batch = Batch{{5, 150, 64, 33}};
  for (auto const head_dim : {Index{16}, Index{40}}) {
    this->expect_agreement(batch, 1, head_dim, 8);
  }
  this->expect_agreement(batch, 1, 10, 3);
}

TYPED_TEST(AttentionVerbs, RefuseWiderHeads) {
  auto wide = Sample<TypeParam>{this->n, 130};
  auto lse = Sample<Accumulate<TypeParam>>{1, this->n};
  EXPECT_THROW(this->gpu->attention(wide.device(), wide.device(), wide.device(), 1, this->device,
                                    wide.device(), lse.device()),
               ShapeError);
}

TYPED_TEST(Verbs, Moves) {
  for_each_lying([&] {
    using T = TypeParam;
    using A = Accumulate<T>;
    for (auto const columns : {Index{37}, Index{40}}) {
      auto table = Sample<A>{5, columns};
      auto ids = Shared<std::int32_t>{3, 0, 4, 3};
      auto y = Sample<A>{4, columns};
      auto expected = y;
      this->cpu.embed({ids.data(), {4}}, A{.88f}, table.host(), expected.host());
      this->gpu->embed({ids.data(), {4}}, A{.88f}, table.device(), y.device());
      y.expect_near(expected, 0., "embed");
      auto bias = Line<A>{columns};
      this->cpu.add_bias(bias.host(), expected.host());
      this->gpu->add_bias(bias.device(), y.device());
      y.expect_near(expected, 0., "add_bias");
      auto copied = Sample<A>{4, columns};
      this->gpu->copy(y.device(), copied.device());
      copied.expect_near(y, 0., "copy");
      auto narrow = Sample<T>{4, columns};
      auto expected_narrow = narrow;
      this->cpu.round(y.host(), expected_narrow.host());
      this->gpu->round(y.device(), narrow.device());
      narrow.expect_near(expected_narrow, 0., "round");
      this->gpu->clear(copied.device().row(1));
      Device::wait();
      for (auto i = Index{0}; i < columns; ++i) EXPECT_EQ(copied.host()(1, i), 0);
    }
  });
}

TYPED_TEST(Verbs, Sums) {
  using A = Accumulate<TypeParam>;
  for (auto const rows : {Index{1}, Index{64}, Index{65}, Index{700}}) {
    auto x = Sample<A>{rows, 2};
    auto sum = Line<A>{2};
    auto expected = sum;
    this->cpu.sum_rows(x.host(), expected.host());
    this->gpu->sum_rows(x.device(), sum.device());
    sum.matrix.expect_near(expected.matrix, this->exact, "sum_rows");

    auto labels = Shared<std::int32_t>{};
    for (auto i = Index{0}; i < rows; ++i) {
      labels.push_back(i % 3 == 2 ? ignored_label : static_cast<std::int32_t>(i % 2));
    }
    auto gradient = Sample<A>{rows, 2};
    auto expected_gradient = gradient;
    auto const weights = std::array{.6, 3.};
    auto v = Line<A>{rows};
    auto expected_numbers = Numbers{7., 8., 2.};
    auto numbers = expected_numbers;
    for (auto pass = 0; pass < 2; ++pass) {
      this->cpu.cross_entropy(x.host(), {labels.data(), {rows}}, weights, .25,
                              expected_gradient.host(), expected_numbers.host());
      this->gpu->cross_entropy(x.device(), {labels.data(), {rows}}, weights, .25, gradient.device(),
                               numbers.device());
    }
    this->cpu.squared_norm(v.host(), expected_numbers.host());
    this->gpu->squared_norm(v.device(), numbers.device());
    gradient.expect_near(expected_gradient, this->exact, "cross_entropy");
    numbers.expect_near(expected_numbers, 1e-12);
  }
  auto numbers = Numbers{0., 8., 2.};
  this->gpu->squared_norm({}, numbers.device());
  EXPECT_EQ(numbers.read(*this->gpu).squared_norm, 0.);
}

TYPED_TEST(Verbs, StepNumbers) {
  auto numbers = Numbers{7., 8., 2.};
  this->gpu->count_update(numbers.device());
  this->gpu->begin_step(numbers.device());
  auto const read = numbers.read(*this->gpu);
  EXPECT_EQ(read.loss, 0.);
  EXPECT_EQ(read.squared_norm, 8.);
  EXPECT_EQ(read.updates, 3.);
  constexpr auto infinity = std::numeric_limits<double>::infinity();
  for (auto& bad : {Numbers{nan, 8., 2.}, Numbers{1., infinity, 2.}, Numbers{-infinity, 1., 2.}}) {
    auto skipped = bad;
    this->gpu->count_update(skipped.device());
    EXPECT_EQ(skipped.read(*this->gpu).updates, 2.);
  }
}

TYPED_TEST(Verbs, AdamW) {
  using A = Accumulate<TypeParam>;
  auto lines = std::vector<Line<A>>(3, Line<A>{300});
  auto second = Line<A>{300};
  for (auto& value : second.host()) value = std::abs(value);
  lines.push_back(second);
  auto expected = lines;
  auto const step = AdamWStep{.learning_rate = .01, .weight_decay = .3, .clip = .5};
  for (auto const loss : {1., nan}) {  // which changes nothing
    auto numbers = Numbers{loss, 4., 3.};
    this->cpu.adamw(expected[0].host(), expected[1].host(), expected[2].host(), expected[3].host(),
                    step, numbers.host());
    this->gpu->adamw(lines[0].device(), lines[1].device(), lines[2].device(), lines[3].device(),
                     step, numbers.device());
    for (auto i = std::size_t{0}; i < lines.size(); ++i) {
      lines[i].matrix.expect_near(expected[i].matrix, 1e-7, "adamw");
    }
  }
}

/// Sums have an order, whatever the order in which threads run.
TYPED_TEST(Verbs, BitsDoNotDependOnTheOrderOfThreads) {
  using T = TypeParam;
  using A = Accumulate<T>;
  auto q = Sample<T>{this->n, 48};
  auto a = Sample<A>{4, 48};
  auto dh = Sample<A>{this->n, 4};
  auto b = Sample<A>{48, 4};
  auto lse = Sample<A>{2, this->n};
  auto const input = LoraInput{2, 1, {.probability = .3f}};
  auto first = std::vector<double>{};
  for (auto seed = 1u; seed < 5; ++seed) {
    Device::shuffle(seed);
    auto out = Sample<T>{this->n, 48, 0.};
    auto da = Sample<A>{4, 48, 0.};
    this->gpu->attention(q.device(), q.device(), q.device(), 2, this->device, out.device(),
                         lse.device());
    this->gpu->template lora_project_backward<T, A>(q.device(), a.device(), input, this->device,
                                                    dh.device(), {}, da.device());
    auto dq = Sample<T>{this->n, 48, 0.}, dk = Sample<T>{this->n, 48, 0.},
         dv = Sample<T>{this->n, 48, 0.};
    this->gpu->attention_backward(q.device(), q.device(), q.device(), 2, this->device, out.device(),
                                  q.device(), lse.device(), dq.device(), dk.device(), dv.device());
    auto h = Sample<A>{this->n, 4, 0.}, db = Sample<A>{48, 4, 0.}, sum = Sample<A>{1, 4, 0.};
    this->gpu->template lora_expand_backward<T>(dh.device(), b.device(), A(.5), q.device(),
                                                h.device(), db.device());
    this->gpu->sum_rows(dh.device(), sum.device().row(0));
    auto numbers = Numbers{0., 0., 0.};
    this->gpu->squared_norm(dh.device().row(3), numbers.device());
    auto bits = std::vector<double>{numbers.read(*this->gpu).squared_norm};
    for (auto j = Index{0}; j < 48; ++j) {
      bits.push_back(convert<double>(out.host()(this->n - 1, j)));
      bits.push_back(static_cast<double>(da.host()(3, j)));
      for (auto* const gradient : {&dq, &dk, &dv}) {
        bits.push_back(convert<double>(gradient->host()(this->n - 1, j)));
      }
      bits.push_back(static_cast<double>(db.host()(j, 3)));
      bits.push_back(static_cast<double>(sum.host()(0, j % 4)));
    }
    if (first.empty()) first = bits;
    EXPECT_EQ(bits, first) << seed;
  }
  Device::shuffle(1);
}

}  // namespace
}  // namespace qlora
