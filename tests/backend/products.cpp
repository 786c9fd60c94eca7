#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cpu/eigen_products.hpp>
#include <qlora/core/parallel.hpp>

#if defined(QLORA_HAS_ONEDNN)
#include <qlora/backend/cpu/onednn_products.hpp>
#endif

namespace {
using namespace qlora;

/// A matrix whose rows lie further apart than they are long.
template <class T>
class Spaced {
 public:
  Spaced() = default;
  Spaced(Spaced&&) = default;
  Spaced& operator=(Spaced&&) = default;
  Spaced(Index rows, Index columns, Index gap)
      : data_(static_cast<std::size_t>(rows * (columns + gap))),
        view_{data_.data(), {rows, columns}, columns + gap} {}

  static Spaced random(Index rows, Index columns, Index gap, unsigned seed) {
    auto result = Spaced{rows, columns, gap};
    auto generator = std::mt19937{seed};
    auto distribution = std::uniform_real_distribution<float>{-1.f, 1.f};
    for (auto& value : result.data_) value = convert<T>(distribution(generator));
    return result;
  }

  Matrix<T> view() { return view_; }
  Matrix<T const> read() const { return view_; }
  bool equals(Matrix<T const> other) const {
    for (auto i = Index{0}; i < view_.rows(); ++i) {
      auto const row = read().row(i);
      if (!std::equal(row.begin(), row.end(), other.row(i).begin())) return false;
    }
    return true;
  }

 private:
  std::vector<T> data_;
  Matrix<T> view_;
};

template <class PolicyType, class T, class U>
struct Case {
  using Policy = PolicyType;
  using Operand = T;
  using Result = U;
};

template <class Case>
class Products : public ::testing::Test {
 protected:
  using T = typename Case::Operand;
  using U = typename Case::Result;
  using A = Accumulate<T>;
  typename Case::Policy products;

  /// What the rounding of the result and of a sum of `length` terms of about 1/3 may make of it.
  static double tolerance(Index length) {
    auto const rounding = std::is_same_v<U, bf16> ? 0x1p-8 : 0.;
    auto const summing = std::is_same_v<A, float> ? 0x1p-20 : 0x1p-48;
    return std::max(rounding, summing) * 2. * std::sqrt(static_cast<double>(length));
  }
};

using Cases = ::testing::Types<
#if defined(QLORA_HAS_ONEDNN)
    Case<OneDnnProducts, float, float>, Case<OneDnnProducts, bf16, bf16>,
    Case<OneDnnProducts, bf16, float>, Case<OneDnnProducts, double, double>,
#endif
    Case<EigenProducts, float, float>, Case<EigenProducts, bf16, bf16>,
    Case<EigenProducts, bf16, float>, Case<EigenProducts, double, double>>;
TYPED_TEST_SUITE(Products, Cases);

struct Size {
  Index in, out;
};
constexpr Size sizes[] = {{40, 10},  {10, 40},   {104, 2}, {2, 104},
                          {40, 320}, {320, 960}, {7, 300}, {1000, 700}};

/// Of tiles, the last of more rows than any product has at a time; large matrices would take long.
std::vector<Index> heights(Index weight) {
  if (weight > 500'000) return {17};
  return weight < 20'000 ? std::vector<Index>{1, 17, 48, 300} : std::vector<Index>{1, 17, 48};
}

TYPED_TEST(Products, EqualPlainSums) {
  using T = typename TypeParam::Operand;
  using U = typename TypeParam::Result;
  for (auto const [in, out] : sizes) {
    for (auto const m : heights(in * out)) {
      for (auto const write : {Write::assign, Write::accumulate}) {
        for (auto const with_bias : {true, false}) {
          auto const x = Spaced<T>::random(m, in, 3, 1);
          auto const w = Spaced<T>::random(out, in, 5, 2);
          auto const bias = Spaced<Accumulate<T>>::random(1, out, 0, 3);
          auto const before = Spaced<U>::random(m, out, 1, 4);
          auto y = Spaced<U>::random(m, out, 1, 4);
          this->products.template multiply_transposed<T, U>(
              x.read(), w.read(), with_bias ? bias.read().row(0) : Vector<Accumulate<T> const>{},
              y.view(), write);
          for (auto i = Index{0}; i < m; ++i) {
            for (auto o = Index{0}; o < out; ++o) {
              auto sum = with_bias ? convert<double>(bias.read()(0, o)) : 0.;
              if (write == Write::accumulate) sum += convert<double>(before.read()(i, o));
              for (auto c = Index{0}; c < in; ++c) {
                sum += convert<double>(x.read()(i, c)) * convert<double>(w.read()(o, c));
              }
              ASSERT_NEAR(convert<double>(y.view()(i, o)), sum, this->tolerance(in))
                  << m << "x" << in << " to " << out;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(Products, BackwardEqualsPlainSums) {
  using T = typename TypeParam::Operand;
  using U = typename TypeParam::Result;
  for (auto const [in, out] : sizes) {
    for (auto const m : heights(in * out)) {
      for (auto const write : {Write::assign, Write::accumulate}) {
        auto const dy = Spaced<T>::random(m, out, 3, 1);
        auto const w = Spaced<T>::random(out, in, 5, 2);
        auto const before = Spaced<U>::random(m, in, 1, 4);
        auto dx = Spaced<U>::random(m, in, 1, 4);
        this->products.template multiply<T, U>(dy.read(), w.read(), dx.view(), write);
        for (auto i = Index{0}; i < m; ++i) {
          for (auto c = Index{0}; c < in; ++c) {
            auto sum = write == Write::accumulate ? convert<double>(before.read()(i, c)) : 0.;
            for (auto o = Index{0}; o < out; ++o) {
              sum += convert<double>(dy.read()(i, o)) * convert<double>(w.read()(o, c));
            }
            ASSERT_NEAR(convert<double>(dx.view()(i, c)), sum, this->tolerance(out))
                << m << "x" << out << " to " << in;
          }
        }
      }
    }
  }
}

/// Every row of every tile height has the bits that it has in a tile of 256, wherever it lies.
TYPED_TEST(Products, RowsDoNotDependOnTheirTile) {
  using T = typename TypeParam::Operand;
  using U = typename TypeParam::Result;
  constexpr auto tile_rows = Index{256};
  struct Sweep {
    Index in, out, gap, step;
  };
  for (auto const& sweep :
       {Sweep{40, 10, 0, 1}, Sweep{10, 104, 6, 1}, Sweep{104, 40, 64, 7}, Sweep{320, 2, 0, 1},
        Sweep{2, 320, 3, 5}, Sweep{320, 960, 0, 51}, Sweep{1280, 320, 640, 51},
        Sweep{320, 1280, 0, 83}, Sweep{1300, 700, 8, 31}, Sweep{480, 1440, 0, 31},
        Sweep{480, 1920, 0, 31}, Sweep{640, 2560, 0, 31}, Sweep{2560, 640, 0, 31},
        Sweep{1280, 3840, 0, 51}, Sweep{1280, 5120, 0, 51}, Sweep{5120, 1280, 0, 47}}) {
    auto const in = sweep.in, out = sweep.out, gap = sweep.gap, step = sweep.step;
    if (in * out > 1'000'000 && std::same_as<T, double>) continue;  // takes long
    auto const x = Spaced<T>::random(tile_rows, in, gap, 1);
    auto const dy = Spaced<T>::random(tile_rows, out, gap, 2);
    auto const w = Spaced<T>::random(out, in, gap, 3);
    auto const bias = Spaced<Accumulate<T>>::random(1, out, 0, 4);
    auto const products = [&](Rows rows, Spaced<U>& y, Spaced<U>& dx) {
      y = Spaced<U>{rows.count, out, gap};
      dx = Spaced<U>{rows.count, in, gap};
      this->products.template multiply_transposed<T, U>(x.read().slice(rows.first, rows.count),
                                                        w.read(), bias.read().row(0), y.view(),
                                                        Write::assign);
      this->products.template multiply<T, U>(dy.read().slice(rows.first, rows.count), w.read(),
                                             dx.view(), Write::assign);
    };
    auto whole_y = Spaced<U>{}, whole_dx = Spaced<U>{}, y = Spaced<U>{}, dx = Spaced<U>{};
    products({0, tile_rows}, whole_y, whole_dx);
    for (auto m = Index{1}; m <= tile_rows; m += step) {
      auto const first = m * 37 % (tile_rows - m + 1);
      products({first, m}, y, dx);
      ASSERT_TRUE(y.equals(whole_y.read().slice(first, m)))
          << m << " rows from " << first << ", " << in << " to " << out;
      ASSERT_TRUE(dx.equals(whole_dx.read().slice(first, m)))
          << m << " rows from " << first << ", back from " << out << " to " << in;
    }
  }
}

/// One tile, called from one thread or from several, has the same bits.
TYPED_TEST(Products, BitsDoNotDependOnThreads) {
  using T = typename TypeParam::Operand;
  using U = typename TypeParam::Result;
  auto const x = Spaced<T>::random(256, 320, 0, 1);
  auto const w = Spaced<T>::random(960, 320, 0, 2);
  auto const dy = Spaced<T>::random(256, 960, 0, 3);
  auto forward = std::array<Spaced<U>, 4>{}, back = std::array<Spaced<U>, 4>{};
  auto const multiply = [&](Index piece) {
    auto& y = forward[static_cast<std::size_t>(piece)];
    auto& dx = back[static_cast<std::size_t>(piece)];
    y = Spaced<U>{256, 960, 0};
    dx = Spaced<U>{256, 320, 0};
    this->products.template multiply_transposed<T, U>(x.read(), w.read(), {}, y.view(),
                                                      Write::assign);
    this->products.template multiply<T, U>(dy.read(), w.read(), dx.view(), Write::assign);
  };
  multiply(3);
  parallel_for(3, [&](Index piece, int) { multiply(piece); });
  for (auto const& y : forward) EXPECT_TRUE(y.equals(forward[0].read()));
  for (auto const& dx : back) EXPECT_TRUE(dx.equals(back[0].read()));
}

}  // namespace
