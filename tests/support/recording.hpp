/// Work that is recorded and repeated, on two streams, against the same work queued each time.
/// Included where there is a `Device`; see support/verbs.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cuda/backend.cuh>

namespace qlora::test {
namespace {

/// values[i] = values[i] * factor + term.
struct Scale {
  float* values;
  float factor;
  float term;
  __device__ void operator()(Index, Index i) const { values[i] = values[i] * factor + term; }
};

/// y += x.
struct Add {
  float const* x;
  float* y;
  __device__ void operator()(Index, Index i) const { y[i] += x[i]; }
};

class CudaRecording : public ::testing::Test {
 protected:
  using Memory = std::vector<float, Device::Allocator<float>>;
  static constexpr auto size = Index{300};

  void SetUp() override {
    if (!Device::available()) GTEST_SKIP() << "needs a device";
    main_.emplace();
    side_.emplace();
    forked_.emplace();
    joined_.emplace();
    values_.assign(size, 1.f);
    others_.assign(size, 1.f);
  }

  void scale(cuda::Stream const& stream, Memory& values, float factor, float term) {
    cuda::for_each_element(1, size, stream, Scale{values.data(), factor, term});
  }
  /// A fork and a join: values = values factor + (others = others factor + 1).
  void work(float factor) {
    forked_->record(*main_);
    side_->wait(*forked_);
    scale(*side_, others_, factor, 1.f);
    scale(*main_, values_, factor, 0.f);
    joined_->record(*side_);
    main_->wait(*joined_);
    cuda::for_each_element(1, size, *main_, Add{others_.data(), values_.data()});
  }
  void expect(float value, float other) {
    Device::wait();
    EXPECT_EQ(values_, Memory(size, value));
    EXPECT_EQ(others_, Memory(size, other));
  }

  std::optional<cuda::Stream> main_, side_;
  std::optional<cuda::Event> forked_, joined_;
  Memory values_, others_;
  cuda::Recording recording_;
};

TEST_F(CudaRecording, DoesTheWorkWhenItIsRecorded) {
  for (auto seed = 0u; seed < 20; ++seed) {
    Device::shuffle(seed);
    values_.assign(size, 1.f);
    others_.assign(size, 1.f);
    recording_.record(*main_, *side_, [&] { work(2.f); });
    expect(5.f, 3.f);
  }
}

TEST_F(CudaRecording, RepeatsItWithOtherNumbers) {
  recording_.record(*main_, *side_, [&] { work(2.f); });
  // Not waited for in between: each start keeps its own numbers.
  EXPECT_TRUE(recording_.repeat(*main_, *side_, [&] { work(3.f); }));
  EXPECT_TRUE(recording_.repeat(*main_, *side_, [&] { work(1.f); }));
  EXPECT_TRUE(recording_.repeat(*main_, *side_, [&] { work(1.f); }));
  expect(48.f, 12.f);  // 5, 3; 25, 10; 36, 11; 48, 12
}

TEST_F(CudaRecording, QueuesNothingOfOtherWork) {
  EXPECT_FALSE(recording_.repeat(*main_, *side_, [&] { work(2.f); })) << "nothing is recorded";
  recording_.record(*main_, *side_, [&] { work(2.f); });
  EXPECT_FALSE(recording_.repeat(*main_, *side_, [&] {})) << "less";
  EXPECT_FALSE(recording_.repeat(*main_, *side_, [&] {
    work(2.f);
    scale(*main_, values_, 2.f, 0.f);
  })) << "more";
  EXPECT_FALSE(recording_.repeat(*main_, *side_, [&] {
    cuda::for_each_element(1, size, *main_, Add{others_.data(), values_.data()});
  })) << "another kernel";
  EXPECT_FALSE(recording_.repeat(*main_, *side_, [&] {
    cuda::for_each_element(3, size, *side_, Scale{others_.data(), 1.f, 1.f});
  })) << "another size";
  expect(5.f, 3.f);
}

TEST_F(CudaRecording, ComparesWhatLibrariesAreAskedFor) {
  auto asked = std::vector<Index>{};
  auto const ask = [&](std::array<Index, 2> what) {
    return [&, what] {
      if (main_->wants(what)) asked.push_back(what[1]);
      scale(*main_, values_, 1.f, 1.f);
    };
  };
  recording_.record(*main_, *side_, ask({1, 2}));
  EXPECT_TRUE(recording_.repeat(*main_, *side_, ask({1, 2})));
  EXPECT_FALSE(recording_.repeat(*main_, *side_, ask({1, 3})));
  EXPECT_EQ(asked, std::vector<Index>{2});
  ask({1, 4})();
  EXPECT_EQ(asked, (std::vector<Index>{2, 4}));
  expect(4.f, 1.f);
}

TEST_F(CudaRecording, IsForgottenWhenItFails) {
  struct Failure {};
  auto const fail = [&] {
    scale(*main_, values_, 2.f, 0.f);
    throw Failure{};
  };
  EXPECT_THROW(recording_.record(*main_, *side_, fail), Failure);
  scale(*main_, values_, 1.f, 1.f);
  expect(2.f, 1.f);
}

/// How often a backend calls the body for a shape: as it is, then to record it, then to compare.
TEST_F(CudaRecording, BeginsWithAShapesSecondPass) {
  auto backend = Device::Backend<float>{};
  auto repeats = Device::Backend<float>::Repeats{};
  auto calls = 0;
  auto const pass = [&](Index tokens) {
    backend.repeat(repeats, {tokens, 1, tokens}, [&] {
      ++calls;
      backend.clear(Vector<float, Space::device>{values_.data(), {tokens}});
    });
    Device::wait();
  };
  for (auto const tokens : {7, 8, 7, 7, 8}) {
    values_.assign(size, 1.f);
    pass(tokens);
    auto expected = Memory(size, 1.f);
    std::fill_n(expected.begin(), tokens, 0.f);
    EXPECT_EQ(values_, expected);
  }
  EXPECT_EQ(calls, 5);
  for (auto tokens = Index{20}; tokens < 40; ++tokens) pass(tokens);  // push the others out
  pass(7);
  EXPECT_EQ(calls, 26);
}

}  // namespace
}  // namespace qlora::test
