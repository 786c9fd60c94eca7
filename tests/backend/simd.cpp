#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <qlora/backend/cpu/attention.hpp>
#include <qlora/backend/cpu/gelu.hpp>
#include <qlora/backend/cpu/layer_norm.hpp>
#include <qlora/backend/cpu/lora.hpp>
#include <qlora/backend/cpu/rotary.hpp>
#include <qlora/backend/cpu/simd/kernels.hpp>

namespace {
using namespace qlora;

/// A matrix with `gap` elements between rows that nobody may use.
template <class T>
struct Rectangle {
  Index rows, columns, gap;
  std::vector<T> data;

  Rectangle(Index n, Index d, Index unused = 0)
      : rows{n},
        columns{d},
        gap{unused},
        data(static_cast<std::size_t>(n * (d + unused) - unused)) {}

  /// The same numbers with any gap, which is NaN.
  static Rectangle random(Index n, Index d, Index gap, unsigned seed, float width = 1.f) {
    auto result = Rectangle{n, d, gap};
    auto generator = std::mt19937{seed};
    auto distribution = std::uniform_real_distribution<float>{-width, width};
    std::fill(result.data.begin(), result.data.end(),
              convert<T>(std::numeric_limits<float>::quiet_NaN()));
    for (auto i = Index{0}; i < n; ++i) {
      for (auto& value : result.view().row(i)) value = convert<T>(distribution(generator));
    }
    return result;
  }

  /// Whether nobody has written between the rows of what `random` made.
  bool keeps_gaps() const {
    for (auto row = Index{1}; row < rows; ++row) {
      auto const end = data.begin() + row * (columns + gap);
      if (!std::all_of(end - gap, end, [](T one) { return std::isnan(convert<float>(one)); })) {
        return false;
      }
    }
    return true;
  }

  Matrix<T> view() { return {data.data(), {rows, columns}, columns + gap}; }
  Matrix<T const> read() const { return {data.data(), {rows, columns}, columns + gap}; }
  simd::Strided<T> strided() { return {data.data(), columns + gap}; }
  simd::Strided<T const> strided() const { return {data.data(), columns + gap}; }

  Rectangle<double> exact() const {
    auto result = Rectangle<double>{rows, columns, gap};
    std::transform(data.begin(), data.end(), result.data.begin(),
                   [](T value) { return convert<double>(value); });
    return result;
  }
};

/// The largest difference, in units of the tolerance: `absolute`, or the rounding of T if larger.
template <class T>
double distance(Rectangle<T> const& result, Rectangle<double> const& expected, double absolute) {
  auto largest = 0.;
  for (auto i = Index{0}; i < expected.rows; ++i) {
    for (auto c = Index{0}; c < expected.columns; ++c) {
      auto const value = convert<double>(result.read()(i, c));
      auto const exact = expected.read()(i, c);
      auto const rounding = std::is_same_v<T, bf16> ? std::abs(exact) * 0x1p-8 : 0.;
      auto const error = std::abs(value - exact) / (absolute + rounding);
      largest =
          std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(largest, error);
    }
  }
  return largest;
}

std::vector<simd::Level> levels() {
  auto result = std::vector{simd::Level::baseline};
  for (auto const level :
       {simd::Level::avx2, simd::Level::avx512, simd::Level::avx512_bf16, simd::Level::amx}) {
    if (simd::best_level() >= level) result.push_back(level);
  }
  return result;
}

template <class Element>
class Simd : public ::testing::Test {
 protected:
  using T = Element;

  /// Calls `body(kernels)` for every level of this processor.
  template <class Body>
  static void for_each_level(Body&& body) {
    for (auto const level : levels()) {
      SCOPED_TRACE("level " + std::to_string(static_cast<int>(level)));
      body(simd::kernels<T>(level));
    }
  }
};

using Elements = ::testing::Types<float, bf16>;
TYPED_TEST_SUITE(Simd, Elements);

/// Says which levels this processor leaves untested.
TEST(SimdLevels, AreAllHere) {
  if (simd::best_level() < simd::Level::amx) {
    GTEST_SKIP() << "the processor's best level is " << static_cast<int>(simd::best_level())
                 << " of " << static_cast<int>(simd::Level::amx) << ": no higher one was tested";
  }
}

constexpr Index widths[] = {1, 3, 10, 16, 17, 40, 63, 104, 320};

TYPED_TEST(Simd, ConversionsAreExact) {
  auto const same = [](auto const& a, auto const& b) {
    return std::memcmp(a.data.data(), b.data.data(), a.data.size() * sizeof a.data[0]) == 0;
  };
  for (auto const n : widths) {
    auto x = Rectangle<float>::random(1, n, 0, 1);
    auto const infinity = std::numeric_limits<float>::infinity();
    x.data.front() = std::numeric_limits<float>::quiet_NaN();
    x.data[x.data.size() / 3] = -infinity;
    x.data[x.data.size() / 2] = 1.00390625f;  // halfway between numbers of bf16
    x.data.back() = std::numeric_limits<float>::max();
    auto expected = Rectangle<TypeParam>{1, n};
    std::transform(x.data.begin(), x.data.end(), expected.data.begin(), convert<TypeParam, float>);
    auto widened = Rectangle<float>{1, n};
    std::transform(expected.data.begin(), expected.data.end(), widened.data.begin(),
                   convert<float, TypeParam>);
    this->for_each_level([&](auto const& kernels) {
      auto narrow = Rectangle<TypeParam>{1, n};
      auto wide = Rectangle<float>{1, n};
      kernels.narrow(x.data.data(), n, narrow.data.data());
      kernels.widen(expected.data.data(), n, wide.data.data());
      EXPECT_TRUE(same(narrow, expected)) << n;
      EXPECT_TRUE(same(wide, widened)) << n;
    });
  }
}

TYPED_TEST(Simd, Gelu) {
  for (auto const n : widths) {
    auto const u = Rectangle<TypeParam>::random(1, n, 0, 1, 6.f);
    auto const dg = Rectangle<TypeParam>::random(1, n, 0, 2);
    auto expected = Rectangle<double>{1, n};
    auto gradient = Rectangle<double>{1, n};
    reference::gelu_row<double>(u.exact().read().row(0), expected.view().row(0));
    reference::gelu_backward_row<double>(u.exact().read().row(0), dg.exact().read().row(0),
                                         gradient.view().row(0));
    this->for_each_level([&](auto const& kernels) {
      auto g = Rectangle<TypeParam>{1, n};
      auto du = dg;
      kernels.gelu(u.data.data(), n, g.data.data());
      kernels.gelu_backward(u.data.data(), du.data.data(), n, du.data.data());
      EXPECT_LT(distance(g, expected, 1e-6), 1.);
      EXPECT_LT(distance(du, gradient, 1e-6), 1.);
    });
  }
}

/// Phi is good to 2.5e-7 over the whole range.
TEST(SimdRange, GeluOfEveryMagnitude) {
  auto const n = Index{20'000};
  auto u = Rectangle<float>{1, n};
  for (auto i = Index{0}; i < n; ++i) {
    auto const pair = i / 2;
    auto const magnitude = std::exp2(static_cast<float>(pair) / 250.f - 30.f);
    u.data[static_cast<std::size_t>(i)] = i % 2 == 0 ? magnitude : -magnitude;
  }
  for (auto const level : levels()) {
    auto g = Rectangle<float>{1, n};
    simd::kernels<float>(level).gelu(u.data.data(), n, g.data.data());
    for (auto i = std::size_t{0}; i < g.data.size(); ++i) {
      auto const value = static_cast<double>(u.data[i]);
      auto const expected = formula::gelu(value);
      ASSERT_NEAR(static_cast<double>(g.data[i]), expected,
                  2.5e-7 * std::max(std::abs(value), 1e-30))
          << value;
    }
  }
}

TYPED_TEST(Simd, NotANumberStaysOne) {
  auto const u = std::vector<TypeParam>(20, TypeParam{std::numeric_limits<float>::quiet_NaN()});
  this->for_each_level([&](auto const& kernels) {
    auto g = std::vector<TypeParam>(20);
    kernels.gelu(u.data(), 20, g.data());
    for (auto const value : g) EXPECT_TRUE(std::isnan(convert<float>(value)));
  });
}

TYPED_TEST(Simd, LayerNorm) {
  for (auto const n : widths) {
    if (n == 1) continue;
    auto const x = Rectangle<float>::random(1, n, 0, 1, 3.f);
    auto const gamma = Rectangle<float>::random(1, n, 0, 2);
    auto const beta = Rectangle<float>::random(1, n, 0, 3);
    auto const dy = Rectangle<float>::random(1, n, 0, 4);
    auto const before = Rectangle<float>::random(1, n, 0, 5);
    auto y_expected = Rectangle<double>{1, n};
    auto dx_expected = before.exact();
    auto exact = Rectangle<double>{1, 2};
    reference::layer_norm_row<double, double>(x.exact().read().row(0), gamma.exact().read().row(0),
                                              beta.exact().read().row(0), 1e-5,
                                              y_expected.view().row(0), exact.view().row(0));
    reference::layer_norm_backward_row<double>(dy.exact().read().row(0), x.exact().read().row(0),
                                               gamma.exact().read().row(0), exact.read().row(0),
                                               dx_expected.view().row(0));
    this->for_each_level([&](auto const& kernels) {
      auto y = Rectangle<TypeParam>{1, n};
      auto stats = Rectangle<float>{1, 2};
      auto dx = before;
      kernels.layer_norm(x.data.data(), gamma.data.data(), beta.data.data(), 1e-5f, n,
                         y.data.data(), stats.data.data());
      kernels.layer_norm_backward(dy.data.data(), x.data.data(), gamma.data.data(),
                                  stats.data.data(), n, dx.data.data());
      EXPECT_LT(distance(y, y_expected, 2e-6), 1.) << n;
      EXPECT_LT(distance(stats, exact, 1e-6), 1.) << n;
      EXPECT_LT(distance(dx, dx_expected, 2e-6), 1.) << n;
    });
  }
}

TYPED_TEST(Simd, Rotary) {
  for (auto const head_dim : {2, 10, 16, 24, 64}) {
    auto const heads = Index{3};
    auto const x = Rectangle<TypeParam>::random(1, heads * head_dim, 0, 1);
    auto table = RotaryTable<float>{};
    table.cover(8, head_dim);
    auto exact_table = RotaryTable<double>{};
    exact_table.cover(8, head_dim);
    for (auto const rotation : {Rotation::forward, Rotation::inverse}) {
      auto expected = x.exact();
      reference::rotary_row<double>(expected.view().row(0), heads, exact_table.cosines(7),
                                    exact_table.sines(7), .25, rotation);
      this->for_each_level([&](auto const& kernels) {
        auto y = x;
        kernels.rotary(y.data.data(), heads, head_dim / 2, table.cosines(7), table.sines(7), .25f,
                       rotation == Rotation::forward ? 1.f : -1.f);
        EXPECT_LT(distance(y, expected, 1e-7), 1.) << head_dim;
      });
    }
  }
}

TYPED_TEST(Simd, Attention) {
  struct Case {
    Index length, head_dim;
  };
  for (auto const& shape :
       {Case{1, 2}, Case{1, 1}, Case{15, 3}, Case{5, 10}, Case{16, 16}, Case{17, 17}, Case{32, 8},
        Case{33, 24}, Case{45, 40}, Case{70, 100}, Case{97, 16}, Case{64, 15}, Case{130, 64},
        Case{31, 128}, Case{33, 482}}) {
    auto const length = shape.length, head_dim = shape.head_dim, gap = Index{6};
    auto const scale = 3.f / std::sqrt(std::sqrt(static_cast<float>(head_dim)));
    auto const random = [&](unsigned seed) {
      return Rectangle<TypeParam>::random(length, head_dim, gap, seed, scale);
    };
    auto const q = random(1), k = random(2), v = random(3), dout = random(4);
    auto out_expected = Rectangle<double>{length, head_dim};
    auto lse_expected = Rectangle<double>{1, length};
    auto memory = std::vector<double>(
        static_cast<std::size_t>(reference::attention_scratch(length, head_dim)));
    reference::attention_head<double>(q.exact().read(), k.exact().read(), v.exact().read(),
                                      memory.data(), out_expected.view(),
                                      lse_expected.view().row(0));
    auto dq_expected = out_expected, dk_expected = out_expected, dv_expected = out_expected;
    reference::attention_head_backward<double>(
        q.exact().read(), k.exact().read(), v.exact().read(), out_expected.read(),
        dout.exact().read(), lse_expected.read().row(0), memory.data(), dq_expected.view(),
        dk_expected.view(), dv_expected.view());
    auto const tolerance = std::is_same_v<TypeParam, bf16> ? 4e-2 : 4e-5;
    auto const of_level = [](auto const& kernels, simd::Level level) {
      return simd::best_level() >= level &&
             kernels.attention == simd::kernels<TypeParam>(level).attention;
    };
    this->for_each_level([&](auto const& kernels) {
      // Where words of two bf16 are multiplied, the weights of v, whose sum is 1, are rounded.
      auto const rounds =
          std::is_same_v<TypeParam, bf16> &&
          (of_level(kernels, simd::Level::avx512_bf16) || of_level(kernels, simd::Level::amx));
      auto const rounding = rounds ? static_cast<double>(scale) * 0x1p-9 : 0.;
      constexpr auto nan = std::numeric_limits<float>::quiet_NaN();
      auto const scratch_end = simd::attention_scratch(length, head_dim);
      auto scratch = std::vector<float>(static_cast<std::size_t>(scratch_end) + 64, nan);
      auto out = random(5), dq = out, dk = out, dv = out;
      auto lse = Rectangle<float>{1, length};
      kernels.attention(q.strided(), k.strided(), v.strided(), length, head_dim, scratch.data(),
                        out.strided(), lse.data.data());
      EXPECT_LT(distance(out, out_expected, 2e-6 + rounding), 1.) << length << "x" << head_dim;
      EXPECT_LT(distance(lse, lse_expected, 1e-5), 1.) << length << "x" << head_dim;
      std::fill_n(scratch.begin(), scratch_end, nan);
      kernels.attention_backward(q.strided(), k.strided(), v.strided(),
                                 std::as_const(out).strided(), dout.strided(), lse.data.data(),
                                 length, head_dim, scratch.data(), dq.strided(), dk.strided(),
                                 dv.strided());
      EXPECT_LT(distance(dq, dq_expected, tolerance), 1.) << length << "x" << head_dim;
      EXPECT_LT(distance(dk, dk_expected, tolerance), 1.) << length << "x" << head_dim;
      EXPECT_LT(distance(dv, dv_expected, tolerance), 1.) << length << "x" << head_dim;
      for (auto const* const written : {&out, &dq, &dk, &dv}) EXPECT_TRUE(written->keeps_gaps());
      EXPECT_TRUE(std::all_of(scratch.begin() + scratch_end, scratch.end(),
                              [](float one) { return std::isnan(one); }))
          << length << "x" << head_dim;
    });
  }
}

/// A head has the same bits wherever its rows lie and whatever is in scratch.
TYPED_TEST(Simd, AttentionDependsOnNothingElse) {
  struct Case {
    Index length, head_dim;
  };
  for (auto const& shape : {Case{17, 16}, Case{45, 40}, Case{97, 20}, Case{70, 72}}) {
    auto const length = shape.length, head_dim = shape.head_dim;
    struct Results {
      Rectangle<TypeParam> out, dq, dk, dv;
      std::vector<float> lse;
    };
    auto const attend = [&](auto const& kernels, Index gap, float in_scratch) {
      auto const random = [&](unsigned seed) {
        return Rectangle<TypeParam>::random(length, head_dim, gap, seed);
      };
      auto const q = random(1), k = random(2), v = random(3), dout = random(4);
      auto r =
          Results{dout, dout, dout, dout, std::vector<float>(static_cast<std::size_t>(length))};
      auto scratch = std::vector<float>(
          static_cast<std::size_t>(simd::attention_scratch(length, head_dim)), in_scratch);
      kernels.attention(q.strided(), k.strided(), v.strided(), length, head_dim, scratch.data(),
                        r.out.strided(), r.lse.data());
      kernels.attention_backward(q.strided(), k.strided(), v.strided(),
                                 std::as_const(r.out).strided(), dout.strided(), r.lse.data(),
                                 length, head_dim, scratch.data(), r.dq.strided(), r.dk.strided(),
                                 r.dv.strided());
      return r;
    };
    auto const same = [](Rectangle<TypeParam> const& a, Rectangle<TypeParam> const& b) {
      for (auto i = Index{0}; i < a.rows; ++i) {
        auto const one = a.read().row(i), other = b.read().row(i);
        if (!std::equal(one.begin(), one.end(), other.begin())) return false;
      }
      return true;
    };
    this->for_each_level([&](auto const& kernels) {
      auto const one = attend(kernels, 0, std::numeric_limits<float>::quiet_NaN());
      for (auto const gap : {1, 6, 3 * 16}) {
        auto const other = attend(kernels, gap, static_cast<float>(gap) * -1e30f);
        EXPECT_TRUE(same(one.out, other.out)) << length << "x" << head_dim << " " << gap;
        EXPECT_TRUE(same(one.dq, other.dq)) << length << "x" << head_dim << " " << gap;
        EXPECT_TRUE(same(one.dk, other.dk)) << length << "x" << head_dim << " " << gap;
        EXPECT_TRUE(same(one.dv, other.dv)) << length << "x" << head_dim << " " << gap;
        EXPECT_EQ(one.lse, other.lse);
      }
    });
  }
}

/// `count` elements at the end of a page that nothing readable follows.
template <class T>
class AtTheEndOfMemory {
 public:
  explicit AtTheEndOfMemory(Index count) : count_{static_cast<std::size_t>(count)} {
    if (pages_ == MAP_FAILED || ::mprotect(first() + page, page, PROT_NONE) != 0) {
      throw std::runtime_error{"no pages"};
    }
  }
  AtTheEndOfMemory(AtTheEndOfMemory const&) = delete;
  AtTheEndOfMemory& operator=(AtTheEndOfMemory const&) = delete;
  ~AtTheEndOfMemory() { ::munmap(pages_, 2 * page); }

  T* data() { return reinterpret_cast<T*>(first() + page - count_ * sizeof(T)); }

 private:
  static constexpr auto page = std::size_t{4096};
  char* first() { return static_cast<char*>(pages_); }

  std::size_t count_;
  void* pages_ =
      ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
};

TYPED_TEST(Simd, NothingBeyondTheLastRowIsTouched) {
  for (auto n = Index{1}; n <= 40; ++n) {
    auto narrow = AtTheEndOfMemory<TypeParam>{n};
    auto wide = AtTheEndOfMemory<float>{n};
    auto const rows = Index{2};
    auto q = AtTheEndOfMemory<TypeParam>{rows * n}, k = AtTheEndOfMemory<TypeParam>{rows * n},
         v = AtTheEndOfMemory<TypeParam>{rows * n}, out = AtTheEndOfMemory<TypeParam>{rows * n};
    auto lse = std::array<float, 2>{};
    auto scratch = std::vector<float>(static_cast<std::size_t>(simd::attention_scratch(rows, n)));
    this->for_each_level([&](auto const& kernels) {
      std::iota(wide.data(), wide.data() + n, 1.f);  // integers that bf16 has
      kernels.narrow(wide.data(), n, narrow.data());
      std::fill_n(wide.data(), n, 0.f);
      kernels.widen(narrow.data(), n, wide.data());
      for (auto i = Index{0}; i < n; ++i) EXPECT_EQ(wide.data()[i], static_cast<float>(i + 1));

      // Rows that are alike make weights of a half each, and of v, which is one, itself.
      std::fill_n(v.data(), rows * n, convert<TypeParam>(1.f));
      auto const at = [n](auto& x) { return simd::Strided<TypeParam>{x.data(), n}; };
      auto const in = [n](auto& x) { return simd::Strided<TypeParam const>{x.data(), n}; };
      kernels.attention(in(q), in(k), in(v), rows, n, scratch.data(), at(out), lse.data());
      for (auto i = Index{0}; i < rows * n; ++i) EXPECT_EQ(convert<float>(out.data()[i]), 1.f);
      kernels.attention_backward(in(q), in(k), in(v), in(out), in(v), lse.data(), rows, n,
                                 scratch.data(), at(q), at(k), at(out));
      for (auto i = Index{0}; i < rows * n; ++i) EXPECT_EQ(convert<float>(out.data()[i]), 1.f);
    });
  }
}

/// A batch of rows of two proteins.
struct Batch {
  std::vector<std::int32_t> positions;
  std::vector<std::uint32_t> samples;

  explicit Batch(Index rows) {
    for (auto i = Index{0}; i < rows; ++i) {
      positions.push_back(static_cast<std::int32_t>(i < 3 ? i : i - 3));
      samples.push_back(i < 3 ? 7u : 123'456u);
    }
  }
  Packing<Space::host> packing() const {
    auto const rows = static_cast<Index>(positions.size());
    return {.offsets = {},
            .positions = {positions.data(), {rows}},
            .samples = {samples.data(), {rows}}};
  }
};

struct LoraCase {
  Index rows, columns, targets, rank;
  float probability;
};
constexpr LoraCase lora_cases[] = {{9, 40, 3, 2, .5f},
                                   {4, 63, 1, 5, .1f},
                                   {7, 320, 3, 16, 0.f},
                                   {1, 17, 2, 1, .25f},
                                   {6, 104, 3, 8, .5f}};

/// Rows of ones pick the factors themselves: the mask is that of `dropout_block`, element by
/// element.
TYPED_TEST(Simd, DropoutMasksAreExact) {
  auto const rows = Index{9};
  for (auto const columns : std::initializer_list<Index>{1, 8, 40, 63, 104, 320}) {
    auto const batch = Batch{rows};
    auto tile =
        simd::LoraTile{.rows = rows,
                       .columns = columns,
                       .targets = 2,
                       .rank = columns,
                       .dropout = {.probability = .3f, .seed = 0x1234'5678'9abc'def0, .step = 5},
                       .first_site = 0xffff'fff0u,
                       .samples = batch.samples.data(),
                       .positions = batch.positions.data()};
    auto x = Rectangle<TypeParam>{rows, columns};
    std::fill(x.data.begin(), x.data.end(), TypeParam{1.f});
    auto identity = Rectangle<float>{2 * columns, columns};
    for (auto i = Index{0}; i < 2 * columns; ++i) identity.view()(i, i % columns) = 1.f;
    this->for_each_level([&](auto const& kernels) {
      auto scratch =
          std::vector<float>(static_cast<std::size_t>(simd::lora_scratch(columns, tile.ranks())));
      auto h = Rectangle<float>{rows, 2 * columns};
      kernels.lora_project(tile, std::as_const(x).strided(), std::as_const(identity).strided(),
                           scratch.data(), h.strided());
      auto const octets = static_cast<std::uint32_t>((columns + 7) / 8);
      for (auto i = Index{0}; i < rows; ++i) {
        for (auto c = Index{0}; c < 2 * columns; ++c) {
          auto const n = static_cast<std::size_t>(i);
          auto const column = static_cast<std::uint32_t>(c % columns);
          auto const block = dropout_block(
              tile.dropout, tile.first_site + static_cast<std::uint32_t>(c / columns),
              batch.samples[n], static_cast<std::uint32_t>(batch.positions[n]), octets, column / 8);
          auto const kept =
              dropout_bits(block, static_cast<int>(column % 8)) >= tile.dropout.threshold();
          ASSERT_EQ(h.view()(i, c), kept ? tile.dropout.scale() : 0.f) << i << ", " << c;
        }
      }
    });
  }
}

TYPED_TEST(Simd, LoraProject) {
  for (auto const& shape : lora_cases) {
    auto const rows = shape.rows, columns = shape.columns, rank = shape.rank;
    auto const targets = shape.targets, ranks = targets * rank;
    auto const probability = shape.probability;
    auto const batch = Batch{rows};
    auto const input = LoraInput{
        .targets = targets, .first_site = 11, .dropout = {.probability = probability, .seed = 3}};
    auto const tile = simd::LoraTile{.rows = rows,
                                     .columns = columns,
                                     .targets = targets,
                                     .rank = rank,
                                     .dropout = input.dropout,
                                     .first_site = input.first_site,
                                     .samples = batch.samples.data(),
                                     .positions = batch.positions.data()};
    auto const x = Rectangle<TypeParam>::random(rows, columns, 5, 1);
    auto const a = Rectangle<float>::random(ranks, columns, 3, 2);
    auto const dh = Rectangle<float>::random(rows, ranks, 1, 3);
    auto const dx_before = Rectangle<float>::random(rows, columns, 2, 4);
    auto const da_before = Rectangle<float>::random(ranks, columns, 0, 5);
    auto h_expected = Rectangle<double>{rows, ranks};
    auto dx_expected = dx_before.exact(), da_expected = da_before.exact();
    reference::lora_project_rows<double, double>(x.exact().read(), a.exact().read(), input,
                                                 batch.packing(), {0, rows}, h_expected.view());
    reference::lora_project_backward_rows<double, double, double>(
        x.exact().read(), a.exact().read(), input, batch.packing(), dh.exact().read(), {0, rows},
        dx_expected.view(), da_expected.view());
    this->for_each_level([&](auto const& kernels) {
      auto scratch =
          std::vector<float>(static_cast<std::size_t>(simd::lora_scratch(columns, ranks)),
                             std::numeric_limits<float>::quiet_NaN());
      auto h = Rectangle<float>{rows, ranks, 2};
      auto dx = dx_before, da = da_before, da_alone = da_before;
      kernels.lora_project(tile, x.strided(), a.strided(), scratch.data(), h.strided());
      kernels.lora_project_backward(tile, x.strided(), a.strided(), dh.strided(), scratch.data(),
                                    dx.strided(), da.strided());
      kernels.lora_project_backward(tile, x.strided(), a.strided(), dh.strided(), scratch.data(),
                                    {}, da_alone.strided());
      auto rounded = Rectangle<TypeParam>{rows, columns};
      auto da_rounded = da_before;
      kernels.lora_project_backward_rounded(tile, x.strided(), a.strided(), dh.strided(),
                                            scratch.data(), rounded.strided(),
                                            da_rounded.strided());
      auto change_expected = dx_expected;
      for (auto i = Index{0}; i < rows; ++i) {
        for (auto c = Index{0}; c < columns; ++c) {
          change_expected.view()(i, c) -= static_cast<double>(dx_before.read()(i, c));
        }
      }
      auto const roundings = std::is_same_v<TypeParam, bf16> ? 6e-2 : 2e-5;  // one a target
      EXPECT_LT(distance(rounded, change_expected, roundings), 1.);
      EXPECT_EQ(da_rounded.data, da.data);
      EXPECT_LT(distance(h, h_expected, 2e-5), 1.);
      EXPECT_LT(distance(dx, dx_expected, 1e-5), 1.);
      EXPECT_LT(distance(da, da_expected, 1e-5), 1.);
      EXPECT_EQ(da_alone.data, da.data);
    });
  }
}

TYPED_TEST(Simd, LoraExpand) {
  for (auto const& shape : lora_cases) {
    auto const rows = shape.rows, columns = shape.columns, rank = shape.rank;
    auto const tile = simd::ExpandTile{rows, columns, rank, .75f};
    auto const h = Rectangle<float>::random(rows, rank, 4, 1);
    auto const b = Rectangle<float>::random(columns, rank, 1, 2);
    auto const y_before = Rectangle<TypeParam>::random(rows, columns, 3, 3);
    auto const db_before = Rectangle<float>::random(columns, rank, 0, 4);
    auto y_expected = y_before.exact(), db_expected = db_before.exact();
    auto dh_expected = Rectangle<double>{rows, rank};
    reference::lora_expand_rows<double, double>(h.exact().read(), b.exact().read(), .75, {0, rows},
                                                y_expected.view());
    reference::lora_expand_backward_rows<double, double>(h.exact().read(), b.exact().read(), .75,
                                                         y_before.exact().read(), {0, rows},
                                                         dh_expected.view(), db_expected.view());
    this->for_each_level([&](auto const& kernels) {
      auto scratch = std::vector<float>(static_cast<std::size_t>(simd::lora_scratch(columns, rank)),
                                        std::numeric_limits<float>::quiet_NaN());
      auto y = y_before;
      auto dh = Rectangle<float>{rows, rank};
      auto db = db_before;
      kernels.lora_expand(tile, h.strided(), b.strided(), scratch.data(), y.strided());
      kernels.lora_expand_backward(tile, h.strided(), b.strided(), y_before.strided(),
                                   scratch.data(), dh.strided(), db.strided());
      EXPECT_LT(distance(y, y_expected, 2e-6), 1.);
      EXPECT_LT(distance(dh, dh_expected, 1e-5), 1.);
      EXPECT_LT(distance(db, db_expected, 1e-5), 1.);
    });
  }
}

/// A row alone has the bits that it has among others.
TYPED_TEST(Simd, RowsOfLoraDoNotDependOnTheirTile) {
  auto const rows = Index{9}, columns = Index{63}, rank = Index{6};
  auto const batch = Batch{rows};
  auto const x = Rectangle<TypeParam>::random(rows, columns, 0, 1);
  auto const a = Rectangle<float>::random(2 * rank, columns, 0, 2);
  auto const b = Rectangle<float>::random(columns, rank, 0, 3);
  auto const dh = Rectangle<float>::random(rows, 2 * rank, 0, 4);
  this->for_each_level([&](auto const& kernels) {
    auto scratch =
        std::vector<float>(static_cast<std::size_t>(simd::lora_scratch(columns, 2 * rank)));
    auto const run = [&](Index first, Index count, auto& h, auto& dx, auto& y, auto& dh_expand) {
      auto const tile = simd::LoraTile{.rows = count,
                                       .columns = columns,
                                       .targets = 2,
                                       .rank = rank,
                                       .dropout = {.probability = .5f, .seed = 3},
                                       .first_site = 0,
                                       .samples = batch.samples.data() + first,
                                       .positions = batch.positions.data() + first};
      auto const expand = simd::ExpandTile{count, columns, rank, .5f};
      auto const part = [&](auto strided) {
        return decltype(strided){strided.row(first), strided.stride};
      };
      auto da = Rectangle<float>{2 * rank, columns};
      auto db = Rectangle<float>{columns, rank};
      kernels.lora_project(tile, part(x.strided()), a.strided(), scratch.data(), part(h.strided()));
      kernels.lora_project_backward(tile, part(x.strided()), a.strided(), part(dh.strided()),
                                    scratch.data(), part(dx.strided()), da.strided());
      kernels.lora_expand(expand, part(dh.strided()), b.strided(), scratch.data(),
                          part(y.strided()));
      kernels.lora_expand_backward(expand, part(dh.strided()), b.strided(), part(x.strided()),
                                   scratch.data(), part(dh_expand.strided()), db.strided());
    };
    auto h = Rectangle<float>{rows, 2 * rank}, h_alone = h;
    auto dx = Rectangle<float>{rows, columns}, dx_alone = dx;
    auto y = Rectangle<TypeParam>{rows, columns}, y_alone = y;
    auto dh_expand = Rectangle<float>{rows, rank}, dh_alone = dh_expand;
    run(0, rows, h, dx, y, dh_expand);
    for (auto i = Index{0}; i < rows; ++i) run(i, 1, h_alone, dx_alone, y_alone, dh_alone);
    EXPECT_EQ(h.data, h_alone.data);
    EXPECT_EQ(dx.data, dx_alone.data);
    EXPECT_EQ(y.data, y_alone.data);
    EXPECT_EQ(dh_expand.data, dh_alone.data);
  });
}

TYPED_TEST(Simd, DequantizationIsExact) {
  auto generator = std::mt19937{1};
  auto const codebook = Rectangle<float>::random(1, 16, 0, 2);
  for (auto const n : {1, 2, 63, 64, 65, 320, 1000}) {
    for (auto const block : {2, 6, 64, 128}) {
      auto codes = std::vector<std::uint8_t>(static_cast<std::size_t>((n + 1) / 2));
      for (auto& byte : codes) byte = static_cast<std::uint8_t>(generator());
      auto const scales = Rectangle<float>::random(1, (n + block - 1) / block, 0, 3, 4.f);
      this->for_each_level([&](auto const& kernels) {
        auto out = std::vector<TypeParam>(static_cast<std::size_t>(n));
        kernels.dequantize4(codes.data(), n, block, codebook.data.data(), scales.data.data(),
                            out.data());
        for (auto i = std::size_t{0}; i < out.size(); ++i) {
          auto const code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
          auto const scale = scales.data[i / static_cast<std::size_t>(block)];
          auto const value = codebook.data[static_cast<std::size_t>(code)] * scale;
          ASSERT_EQ(out[i], convert<TypeParam>(value)) << i << " of " << n;
        }
      });
    }
  }
}

/// Codes are those of a count of the numbers below, whatever the order of the codes.
TYPED_TEST(Simd, QuantizationIsExact) {
  auto generator = std::mt19937{1};
  auto ladder = simd::Ladder{};
  auto uniform = std::uniform_real_distribution<float>{-.9f, .9f};
  for (auto& number : ladder.numbers) number = uniform(generator);
  ladder.numbers[3] = ladder.numbers[4];
  std::ranges::sort(ladder.numbers, ladder.numbers + 15);
  auto codes_of_ranks = std::array<std::uint32_t, 16>{};
  std::iota(codes_of_ranks.begin(), codes_of_ranks.end(), 0u);
  std::ranges::shuffle(codes_of_ranks, generator);
  for (auto r = std::size_t{0}; r < 16; ++r) {
    ladder.codes[r] = std::bit_cast<float>(codes_of_ranks[r]);
  }
  for (auto const n : {2, 6, 64, 66, 320, 1000}) {
    for (auto const block : {2, 6, 64, 128}) {
      auto x = Rectangle<float>::random(1, n, 0, 2, 3.f);
      for (auto i = std::size_t{0}; i < x.data.size(); i += 5) {
        x.data[i] = 2.f * ladder.numbers[i % 15];  // a tie, where the factor is .5
      }
      auto const blocks = (n + block - 1) / block;
      auto factors = std::vector<float>(static_cast<std::size_t>(blocks));
      for (auto i = std::size_t{0}; i < factors.size(); ++i) factors[i] = i % 2 == 0 ? .5f : .25f;
      this->for_each_level([&](auto const& kernels) {
        auto codes = std::vector<std::uint8_t>(static_cast<std::size_t>(n / 2));
        auto largest = std::vector<float>(factors.size());
        kernels.quantize4(x.data.data(), n, block, factors.data(), ladder, codes.data());
        kernels.largest_magnitudes(x.data.data(), n, block, largest.data());
        auto expected = std::vector<float>(factors.size());
        for (auto i = std::size_t{0}; i < x.data.size(); ++i) {
          auto const factor = factors[i / static_cast<std::size_t>(block)];
          auto const y = std::clamp(x.data[i] * factor, -1.f, 1.f);
          auto const rank = std::ranges::count_if(ladder.numbers, ladder.numbers + 15,
                                                  [&](float number) { return y > number; });
          auto const code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
          ASSERT_EQ(static_cast<std::uint32_t>(code),
                    codes_of_ranks[static_cast<std::size_t>(rank)])
              << i << " of " << n;
          auto& most = expected[i / static_cast<std::size_t>(block)];
          most = std::max(most, std::fabs(x.data[i]));
        }
        EXPECT_EQ(largest, expected);
      });
    }
  }
}

TYPED_TEST(Simd, NotANumberIsTheLargestMagnitude) {
  this->for_each_level([](auto const& kernels) {
    for (auto const at : {0, 5, 31, 32}) {
      auto x = std::vector<float>(33, -std::numeric_limits<float>::infinity());
      auto largest = 0.f;
      kernels.largest_magnitudes(x.data(), 33, 64, &largest);
      EXPECT_EQ(largest, std::numeric_limits<float>::infinity());
      x[static_cast<std::size_t>(at)] = std::nanf("");
      kernels.largest_magnitudes(x.data(), 33, 64, &largest);
      EXPECT_TRUE(std::isnan(largest)) << at;
    }
  });
}

}  // namespace
