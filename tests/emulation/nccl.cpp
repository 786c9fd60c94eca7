/// Sums over ranks that each have a GPU, in every order in which their streams may come to them.
#define QLORA_HAS_NCCL 1

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/dist/nccl.cuh>

namespace qlora {
namespace {

/// Ranks of one thread that speak in their order: each hears those before it.
struct Speaker {
  std::vector<std::vector<std::byte>>& said;
  int own;

  int rank() const { return own; }
  int size() const { return static_cast<int>(said.size()); }
  void exchange(std::span<dist::Sent const> to, std::span<dist::Received const> from) {
    auto const other = static_cast<std::size_t>(own == 0 ? size() - 1 : 0);
    said[static_cast<std::size_t>(own)] = {to[other].begin(), to[other].end()};
    for (auto r = std::size_t{0}; r < static_cast<std::size_t>(own); ++r) {
      std::ranges::copy(said[r], from[r].begin());
    }
  }
};

class RanksWithGpus {
 public:
  explicit RanksWithGpus(int size) : said_(static_cast<std::size_t>(size)), streams_(said_.size()) {
    for (auto r = 0; r < size; ++r) {
      speakers_.push_back(std::make_unique<Speaker>(said_, r));
      ranks_.push_back(std::make_unique<dist::Nccl<Speaker>>(
          *speakers_.back(), streams_[static_cast<std::size_t>(r)]));
    }
  }

  /// What is queued for each rank's values, (ranks) of them.
  template <class T>
  void sum(std::vector<std::vector<T>>& values) {
    for (auto r = std::size_t{0}; r < values.size(); ++r) {
      ranks_[r]->sum(Vector<T, Space::device>{values[r].data(), {std::ssize(values[r])}});
    }
  }

 private:
  std::vector<std::vector<std::byte>> said_;
  std::vector<cuda::Stream> streams_;
  std::vector<std::unique_ptr<Speaker>> speakers_;
  std::vector<std::unique_ptr<dist::Nccl<Speaker>>> ranks_;
};

template <class T>
std::vector<std::vector<T>> random_values(std::size_t ranks, std::size_t count) {
  auto random = std::mt19937{static_cast<unsigned>(100 * ranks + count)};
  auto normal = std::normal_distribution<T>{};
  auto values = std::vector<std::vector<T>>(ranks, std::vector<T>(count));
  for (auto& of_rank : values) {
    for (auto& value : of_rank) value = normal(random);
  }
  return values;
}

/// In the order of ranks, which decides the bits.
template <class T>
std::vector<T> sums(std::vector<std::vector<T>> const& values) {
  auto sum = values.front();
  for (auto r = std::size_t{1}; r < values.size(); ++r) {
    std::ranges::transform(sum, values[r], sum.begin(), std::plus<>{});
  }
  return sum;
}

template <class T>
void expect_sums() {
  for (auto const size : {1, 2, 3, 5}) {
    for (auto seed = 1u; seed <= 20; ++seed) {
      emulation::machine().seed = seed;
      emulation::queues().random.seed(seed);
      auto values = std::vector<std::vector<T>>{};  // longer there than what is queued
      auto ranks = RanksWithGpus{size};
      // Also fewer than ranks, none for some of them. The most first: memory that a rank gives back
      // waits for its device, which is that of all here.
      for (auto const count : {700, 2, 3, 64}) {
        values = random_values<T>(static_cast<std::size_t>(size), static_cast<std::size_t>(count));
        auto once = sums(values);
        ranks.sum(values);
        ranks.sum(values);
        emulation::finish_all();
        auto const twice = sums(std::vector(static_cast<std::size_t>(size), once));
        for (auto const& of_rank : values) ASSERT_EQ(of_rank, twice) << size << " ranks, " << count;
      }
    }
  }
}

TEST(Nccl, AddsUpInTheOrderOfRanks) {
  expect_sums<float>();
  expect_sums<double>();
}

TEST(Nccl, IsForRanksThatHaveAGpuEach) {
  auto said = std::vector<std::vector<std::byte>>(3);
  auto const last_hears = [&](std::vector<int> const& devices) {
    auto has = false;
    for (auto r = 0; r < 3; ++r) {
      current_device = devices[static_cast<std::size_t>(r)];
      auto speaker = Speaker{said, r};
      has = dist::Nccl<Speaker>::has_gpu_each(speaker);
    }
    return has;
  };
  EXPECT_TRUE(last_hears({4, 2, 7}));
  EXPECT_FALSE(last_hears({4, 2, 4}));
}

TEST(Nccl, SaysWhatFails) {
  EXPECT_THROW(dist::check(ncclInvalidUsage, "NCCL: send"), SystemError);
}

}  // namespace
}  // namespace qlora
