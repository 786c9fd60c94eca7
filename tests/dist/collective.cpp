// What ranks do together, with ranks that are threads.
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/random.hpp>
#include <qlora/dist/any.hpp>
#include <qlora/dist/collective.hpp>
#include <qlora/dist/deal.hpp>

#include "support/ranks.hpp"

namespace qlora {
namespace {

static_assert(dist::Communicator<dist::Self>);
static_assert(dist::Communicator<dist::Any>);
static_assert(dist::Communicator<Ranks::Member>);

/// Numbers of very different sizes, whose sums depend on their order.
std::vector<float> numbers(int rank, std::size_t count) {
  auto random = RandomSequence{{.seed = 5, .sample = static_cast<std::uint32_t>(rank)}};
  auto values = std::vector<float>(count);
  for (auto i = std::size_t{0}; auto& value : values) {
    value = (random.uniform() - .5f) * (i++ % 3 == 0 ? 1e6f : 1.f);
  }
  return values;
}

Vector<float> view(std::vector<float>& values) {
  return {values.data(), {std::ssize(values)}};
}

TEST(Collective, SumsInTheOrderOfRanks) {
  for (auto const size : {1, 2, 3, 5}) {
    for (auto const count : {std::size_t{0}, std::size_t{1}, std::size_t{4}, std::size_t{257}}) {
      SCOPED_TRACE(std::to_string(size) + " ranks, " + std::to_string(count) + " numbers");
      auto expected = numbers(0, count);
      for (auto r = 1; r < size; ++r) {
        auto const other = numbers(r, count);
        for (auto i = std::size_t{0}; i < count; ++i) expected[i] += other[i];
      }
      auto sums = std::vector<std::vector<float>>(static_cast<std::size_t>(size));
      Ranks{size}.run([&](auto& member) {
        auto& values = sums[static_cast<std::size_t>(member.rank())];
        values = numbers(member.rank(), count);
        dist::Collective{member}.sum(view(values));
      });
      for (auto const& sum : sums) EXPECT_EQ(sum, expected);
    }
  }
}

TEST(Collective, GathersOneRankAfterTheOther) {
  auto const counts = std::vector<std::size_t>{2, 0, 3};
  Ranks{3}.run([&](auto& member) {
    auto const rank = static_cast<std::size_t>(member.rank());
    auto own = std::vector<std::int64_t>(counts[rank]);
    std::iota(own.begin(), own.end(), member.rank() * 10);
    auto const all = dist::Collective{member}.gather(std::span<std::int64_t const>{own},
                                                     std::span<std::size_t const>{counts});
    EXPECT_EQ(all, (std::vector<std::int64_t>{0, 1, 20, 21, 22}));
  });
}

TEST(Collective, KnowsWhetherAnyRankSaysSo) {
  for (auto const who : {-1, 0, 2}) {
    Ranks{3}.run([&](auto& member) {
      EXPECT_EQ(dist::Collective{member}.any(member.rank() == who), who >= 0);
    });
  }
}

TEST(Collective, OfOneRankDoesNothing) {
  auto alone = dist::Any{};
  auto ranks = dist::Collective{alone};
  auto values = numbers(0, 9);
  auto const before = values;
  ranks.sum(view(values));
  ranks.wait();
  EXPECT_EQ(values, before);
  EXPECT_TRUE(ranks.any(true));
  EXPECT_FALSE(ranks.any(false));
}

TEST(Deal, GivesTheDearestFirstToWhoHasLeast) {
  auto const costs = std::vector<double>{1, 9, 2, 8, 3, 7, 4, 6, 5};
  EXPECT_EQ(dist::deal(costs, 3), (std::vector<int>{2, 0, 1, 1, 0, 2, 0, 2, 1}));
}

TEST(Deal, LeavesRanksWithoutWorkWhereThereIsLittle) {
  EXPECT_EQ(dist::deal(std::vector<double>{2, 2}, 4), (std::vector<int>{0, 1}));
  EXPECT_TRUE(dist::deal(std::vector<double>{}, 4).empty());
}

}  // namespace
}  // namespace qlora
