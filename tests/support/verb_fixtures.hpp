/// What tests of verbs are made of: samples and batches that both backends can look at, and
/// fixtures that compare a backend with the CPU's readable loops. Included where there is a
/// `Device`, as verbs.hpp is.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cpu.hpp>
#include <qlora/backend/cuda/backend.cuh>
#include <qlora/core/random.hpp>

namespace qlora {
namespace {

template <class U>
using Shared = std::vector<U, Device::Allocator<U>>;

constexpr auto nan = std::numeric_limits<double>::quiet_NaN();

/// How matrices lie that are made from now on: with gaps between rows, without, or with gaps and
/// from an odd address on. Rows of a multiple of 8 elements can be read 16 bytes at a time but for
/// the last.
enum class Lying { apart, dense, askew };
inline auto lying = Lying::apart;

/// Calls `body` once for each.
template <class Body>
void for_each_lying(Body&& body) {
  for (auto const one : {Lying::apart, Lying::dense, Lying::askew}) {
    lying = one;
    SCOPED_TRACE("lying " + std::to_string(static_cast<int>(one)));
    body();
  }
  lying = Lying::apart;
}

/// A matrix with NaN around its rows, that both backends can look at.
template <class U>
class Sample {
 public:
  Sample(Index rows, Index columns, double scale = 1.)
      : Sample{rows, columns, scale,
               lying == Lying::dense ? Index{0}
               : columns % 8 == 0    ? Index{8}
                                     : Index{3}} {}
  Sample(Index rows, Index columns, double scale, Index gap)
      : rows_{rows},
        columns_{columns},
        stride_{columns + gap},
        first_{lying == Lying::askew ? Index{1} : Index{0}} {
    static auto seed = std::uint64_t{0};
    auto random = RandomSequence{{.seed = ++seed}};
    values_.assign(static_cast<std::size_t>(first_ + rows * stride_), convert<U>(nan));
    for (auto i = Index{0}; i < rows; ++i) {
      for (auto j = Index{0}; j < columns; ++j) {
        host()(i, j) = convert<U>(scale * (2. * static_cast<double>(random.uniform()) - 1.));
      }
    }
  }

  Matrix<U> host() { return {values_.data() + first_, {rows_, columns_}, stride_}; }
  Matrix<U, Space::device> device() {
    return {values_.data() + first_, {rows_, columns_}, stride_};
  }

  /// Whether the numbers agree to that share of the largest, and nothing else was written.
  void expect_near(Sample& expected, double tolerance, char const* what) {
    Device::wait();
    auto largest = 0.;
    auto error = 0.;
    for (auto i = std::size_t{0}; i < values_.size(); ++i) {
      auto const a = convert<double>(values_[i]);
      auto const b = convert<double>(expected.values_[i]);
      auto const at = static_cast<Index>(i) - first_;
      auto const between = at < 0 || at % stride_ >= columns_;
      ASSERT_EQ(std::isnan(a), between) << what << " at " << i;
      if (between) continue;
      largest = std::max(largest, std::abs(b));
      error = std::max(error, std::abs(a - b));
    }
    EXPECT_LE(error, tolerance * largest) << what;
  }

 private:
  Index rows_, columns_, stride_, first_;
  Shared<U> values_;
};

/// A dense vector for both.
template <class U>
struct Line {
  explicit Line(Index size) : matrix{1, size} {}
  Vector<U> host() { return matrix.host().row(0); }
  Vector<U, Space::device> device() { return matrix.device().row(0); }
  Sample<U> matrix;
};

/// A step's numbers for both.
class Numbers {
 public:
  Numbers(double loss, double squared_norm, double updates)
      : numbers_{{loss, squared_norm, updates}} {}
  Vector<StepNumbers> host() { return {numbers_.data(), {1}}; }
  Vector<StepNumbers, Space::device> device() { return {numbers_.data(), {1}}; }

  template <class B>
  StepNumbers read(B& backend) {
    auto reading = typename B::Reading{};
    backend.read(device(), reading);
    return reading.wait();
  }
  void expect_near(Numbers const& expected, double tolerance) const {
    Device::wait();
    auto const& a = numbers_.front();
    auto const& b = expected.numbers_.front();
    EXPECT_NEAR(a.loss, b.loss, tolerance * std::abs(b.loss));
    EXPECT_NEAR(a.squared_norm, b.squared_norm, tolerance * b.squared_norm);
    EXPECT_EQ(a.updates, b.updates);
  }

 private:
  Shared<StepNumbers> numbers_;
};

/// A packed batch of sequences of these lengths.
class Batch {
 public:
  explicit Batch(std::vector<std::int32_t> const& lengths) {
    for (auto const length : lengths) {
      for (auto i = 0; i < length; ++i) {
        positions_.push_back(i);
        samples_.push_back(static_cast<std::uint32_t>(offsets_.size() * 7));
      }
      offsets_.push_back(offsets_.back() + length);
      longest_ = std::max(longest_, Index{length});
    }
  }
  Index tokens() const { return offsets_.back(); }
  template <Space M>
  Packing<M> packing() const {
    auto const view = []<class U>(Shared<U> const& values) {
      return Vector<U const, M>{values.data(), {static_cast<Index>(values.size())}};
    };
    return {view(offsets_), view(positions_), view(samples_), longest_};
  }

 private:
  Shared<std::int32_t> offsets_{0}, positions_;
  Shared<std::uint32_t> samples_;
  Index longest_ = 0;
};

template <class T, class Gpu = Device::Backend<T>>
class Verbs : public ::testing::Test {
 protected:
  using A = Accumulate<T>;
  /// Of sums of numbers of type A, and of results that are rounded to T.
  static constexpr double exact = std::same_as<A, double> ? 1e-13 : 3e-6;
  static constexpr double rounded = std::same_as<T, bf16> ? 8e-3 : exact;

  void SetUp() override {
    if (!Device::available()) GTEST_SKIP() << "needs a device";
    gpu.emplace();
  }

  backend::Cpu<EigenProducts, T, backend::Loops::reference> cpu;
  std::optional<Gpu> gpu;
  Batch batch{{1, 2, 40, 33, 7}};
  Packing<Space::host> host = batch.packing<Space::host>();
  Packing<Space::device> device = batch.packing<Space::device>();
  Index n = batch.tokens();
};

template <class T, class Gpu = Device::Backend<T>>
class AttentionVerbs : public Verbs<T, Gpu> {
 protected:
  using A = Accumulate<T>;

  /// Rows lie `gap` elements apart: some can be read 16 bytes at a time.
  void expect_agreement(Batch const& batch, Index heads, Index head_dim, Index gap) {
    SCOPED_TRACE(std::to_string(head_dim) + ", gap " + std::to_string(gap));
    auto const host = batch.packing<Space::host>();
    auto const device = batch.packing<Space::device>();
    auto const n = batch.tokens();
    auto const d = heads * head_dim;
    auto q = Sample<T>{n, d, 2., gap};
    auto k = Sample<T>{n, d, 1., gap};
    auto v = Sample<T>{n, d, 1., gap};
    auto out = Sample<T>{n, d, 1., gap};
    auto expected_out = out;
    auto lse = Sample<A>{heads, n};
    auto expected_lse = lse;
    this->cpu.attention(q.host(), k.host(), v.host(), heads, host, expected_out.host(),
                        expected_lse.host());
    this->gpu->attention(q.device(), k.device(), v.device(), heads, device, out.device(),
                         lse.device());
    out.expect_near(expected_out, this->rounded, "out");
    lse.expect_near(expected_lse, this->exact, "lse");

    auto dout = Sample<T>{n, d, 1., gap};
    auto dq = Sample<T>{n, d, 1., gap};
    auto dk = dq;
    auto dv = dq;
    auto expected_dq = dq;
    auto expected_dk = dq;
    auto expected_dv = dq;
    this->cpu.attention_backward(q.host(), k.host(), v.host(), heads, host, out.host(), dout.host(),
                                 lse.host(), expected_dq.host(), expected_dk.host(),
                                 expected_dv.host());
    this->gpu->attention_backward(q.device(), k.device(), v.device(), heads, device, out.device(),
                                  dout.device(), lse.device(), dq.device(), dk.device(),
                                  dv.device());
    dq.expect_near(expected_dq, this->rounded, "dq");
    dk.expect_near(expected_dk, this->rounded, "dk");
    dv.expect_near(expected_dv, this->rounded, "dv");
  }
};

}  // namespace
}  // namespace qlora
