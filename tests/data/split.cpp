#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/split.hpp>

namespace {
using namespace qlora;

double part(std::vector<std::size_t> const& sizes, std::vector<Side> const& result, Side side) {
  auto of_side = 0.;
  auto all = 0.;
  for (auto i = std::size_t{0}; i < sizes.size(); ++i) {
    all += static_cast<double>(sizes[i]);
    if (result[i] == side) of_side += static_cast<double>(sizes[i]);
  }
  return of_side / all;
}

TEST(SplitGroups, ComesNearToTheFractions) {
  auto sizes = std::vector<std::size_t>(300);
  for (auto i = std::size_t{0}; i < sizes.size(); ++i) sizes[i] = 1 + i % 7 * (i % 3);
  for (auto seed = std::uint64_t{1}; seed <= 20; ++seed) {
    auto const result = split_groups(sizes, {.seed = seed});
    EXPECT_NEAR(part(sizes, result, Side::test), .2, .005) << seed;
    EXPECT_NEAR(part(sizes, result, Side::valid), .1, .005) << seed;
    EXPECT_EQ(result, split_groups(sizes, {.seed = seed}));
  }
  EXPECT_NE(split_groups(sizes, {.seed = 1}), split_groups(sizes, {.seed = 2}));
}

TEST(SplitGroups, LeavesSidesOutThatWereNotAskedFor) {
  auto const result =
      split_groups(std::vector<std::size_t>(10, 1), {.valid_fraction = 0., .test_fraction = .3});
  EXPECT_EQ(std::ranges::count(result, Side::valid), 0);
  EXPECT_EQ(std::ranges::count(result, Side::test), 3);
}

TEST(SplitGroups, RefusesWhatCannotBe) {
  auto const refuses = [](std::vector<std::size_t> const& sizes, double valid, double test) {
    EXPECT_THROW(split_groups(sizes, {.valid_fraction = valid, .test_fraction = test}), InputError);
  };
  auto const ten = std::vector<std::size_t>(10, 1);
  refuses(ten, .5, .5);
  refuses(ten, -.1, .5);
  refuses(ten, .1, 1.);
  refuses(ten, std::numeric_limits<double>::quiet_NaN(), .2);
  refuses({100, 1}, .1, .2);  // the validation set would be empty
  refuses({100}, 0., .2);
  refuses({1, 1}, .45, .45);  // nothing would train
}

}  // namespace
