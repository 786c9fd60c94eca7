#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/parallel.hpp>

namespace {
using namespace qlora;

/// Runs under several numbers of threads, more than the machine has among them.
class Threads : public ::testing::TestWithParam<int> {
 public:
  Threads() { thread_count() = GetParam(); }
  ~Threads() override { thread_count() = before_; }

 private:
  int before_ = thread_count();
};
INSTANTIATE_TEST_SUITE_P(Parallel, Threads, ::testing::Values(1, 2, 7));

TEST_P(Threads, CallEveryPieceOnce) {
  for (auto const pieces : {0, 1, 3, 1000}) {
    auto calls = std::vector<std::atomic<int>>(static_cast<std::size_t>(pieces));
    parallel_for(pieces, [&](Index piece, int) { ++calls[static_cast<std::size_t>(piece)]; });
    EXPECT_TRUE(std::all_of(calls.begin(), calls.end(), [](auto& n) { return n == 1; })) << pieces;
  }
}

TEST_P(Threads, AreWorkersThatDoNotOverlap) {
  auto busy = std::vector<std::atomic<int>>(static_cast<std::size_t>(thread_count()));
  auto overlaps = std::atomic<int>{0};
  parallel_for(1000, [&](Index, int worker) {
    auto& mine = busy.at(static_cast<std::size_t>(worker));
    if (mine.fetch_add(1) != 0) ++overlaps;
    mine.fetch_sub(1);
  });
  EXPECT_EQ(overlaps, 0);
}

TEST_P(Threads, HandOnAnException) {
  try {
    parallel_for(100, [](Index piece, int) {
      if (piece == 7) throw std::out_of_range{"piece 7"};
    });
    FAIL();
  } catch (std::out_of_range const& error) {
    EXPECT_STREQ(error.what(), "piece 7");
  }
}

TEST_P(Threads, RunInnerLoopsUnderTheirOwnNumber) {
  auto calls = std::atomic<int>{0};
  parallel_for(20, [&](Index, int outer) {
    parallel_for(5, [&](Index, int inner) { calls += inner == outer ? 1 : 0; });
  });
  EXPECT_EQ(calls, 100);
}

TEST_P(Threads, ServeSeveralCallers) {
  auto sums = std::vector<std::atomic<Index>>(4);
  auto callers = std::vector<std::thread>{};
  for (auto& sum : sums) {
    callers.emplace_back([&] {
      for (auto loop = 0; loop < 50; ++loop) {
        parallel_for(20, [&](Index piece, int) { sum += piece; });
      }
    });
  }
  for (auto& caller : callers) caller.join();
  for (auto const& sum : sums) EXPECT_EQ(sum, 50 * 190);
}

/// A helper that has gone to sleep between loops is there for the next one, and one that is still
/// on its way does no harm.
TEST_P(Threads, RunShortLoopsWithAndWithoutPauses) {
  auto sum = std::atomic<Index>{0};
  for (auto loop = 0; loop < 3000; ++loop) {
    parallel_for(3, [&](Index piece, int) { sum += piece; });
    if (loop % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  EXPECT_EQ(sum, 9000);
}

TEST_P(Threads, CutRowsIntoTheSameTiles) {
  for (auto const rows : {0, 1, 9, 10, 11, 30}) {
    auto owner = std::vector<Index>(static_cast<std::size_t>(rows), -1);
    parallel_rows(rows, 10, [&](Rows tile, int) {
      ASSERT_EQ(tile.first % 10, 0);
      ASSERT_EQ(tile.count, std::min<Index>(10, rows - tile.first));
      std::fill_n(owner.begin() + tile.first, tile.count, tile.first / 10);
    });
    for (auto i = std::size_t{0}; i < owner.size(); ++i) {
      EXPECT_EQ(owner[i], static_cast<Index>(i) / 10);
    }
  }
}

TEST_P(Threads, ChangeNoBitOfASum) {
  constexpr auto rows = Index{10'007};
  constexpr auto tile = Index{64};
  auto partial = std::vector<float>((rows + tile - 1) / tile);
  auto const sum_tile = [&](Rows part, int) {
    auto& sum = partial[static_cast<std::size_t>(part.first / tile)];
    for (auto i = part.first; i < part.first + part.count; ++i) {
      sum += std::sin(static_cast<float>(i));
    }
  };
  parallel_rows(rows, tile, sum_tile);
  auto const together = std::accumulate(partial.begin(), partial.end(), 0.f);
  std::fill(partial.begin(), partial.end(), 0.f);
  thread_count() = 1;
  parallel_rows(rows, tile, sum_tile);
  EXPECT_EQ(together, std::accumulate(partial.begin(), partial.end(), 0.f));
}

}  // namespace
