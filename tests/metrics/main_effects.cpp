#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/main_effects.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::message_of;

/// Three levels of the first factor, two of the second, two seeds; the numbers below are numpy's:
///
///     x = np.array([[[.40,.44],[.41,.39]],[[.50,.53],[.55,.52]],[[.30,.33],[.28,.35]]])
///     4 * ((x.mean((1, 2)) - x.mean())**2).sum()
std::vector<Observation> grid() {
  auto const values =
      std::vector<double>{.40, .44, .41, .39, .50, .53, .55, .52, .30, .33, .28, .35};
  auto runs = std::vector<Observation>{};
  for (auto i = std::size_t{0}; i < values.size(); ++i) {
    runs.push_back({{i / 4, i / 2 % 2}, i / 2, values[i]});
  }
  return runs;
}

TEST(MainEffects, AreNumpysOnAFullGrid) {
  auto const effects = main_effects(grid(), {3, 2});
  EXPECT_NEAR(effects.mean, 0.4166666666666667, 1e-15);
  EXPECT_NEAR(effects.total, 0.09406666666666667, 1e-15);
  EXPECT_NEAR(effects.within, 0.0048, 1e-15);
  EXPECT_TRUE(effects.balanced);
  auto const& first = effects.factors.at(0);
  EXPECT_NEAR(first.means.at(0), 0.41, 1e-15);
  EXPECT_NEAR(first.means.at(1), 0.525, 1e-15);
  EXPECT_NEAR(first.means.at(2), 0.315, 1e-15);
  EXPECT_EQ(first.counts, (std::vector<std::size_t>{4, 4, 4}));
  EXPECT_EQ(first.freedom, 2u);
  EXPECT_NEAR(first.range(), 0.21, 1e-15);
  EXPECT_NEAR(first.squares, 0.08846666666666668, 1e-15);
  auto const& second = effects.factors.at(1);
  EXPECT_NEAR(second.squares, 0., 1e-15);
  EXPECT_NEAR(effects.interactions(), 0.0085046066619419, 1e-13);
  EXPECT_NEAR(effects.share(effects.total), 1., 1e-15);
  // The interactions have two degrees of freedom, as the first factor.
  EXPECT_NEAR(effects.by_chance(first), 0.0085046066619419, 1e-13);
  EXPECT_NEAR(effects.by_chance(second), 0.0085046066619419 / 2., 1e-13);
}

TEST(MainEffects, ByChanceDoesNotGrowWithWhatAnotherFactorDoes) {
  auto runs = grid();
  auto const before = main_effects(runs, {3, 2});
  for (auto& run : runs) {
    if (run.levels[0] == 2) run.value -= 10.;
  }
  auto const after = main_effects(runs, {3, 2});
  EXPECT_NEAR(after.by_chance(after.factors[1]) * after.total,
              before.by_chance(before.factors[1]) * before.total, 1e-12);
}

TEST(MainEffects, OfOneFactorAreMeasuredByTheNoiseOfSeeds) {
  auto const runs =
      std::vector<Observation>{{{0}, 0, 1.}, {{0}, 0, 2.}, {{1}, 1, 5.}, {{1}, 1, 7.}};
  auto const effects = main_effects(runs, {2});
  EXPECT_TRUE(effects.balanced);
  EXPECT_NEAR(effects.by_chance(effects.factors.at(0)), 2.5 / 2. / effects.total, 1e-15);
  // Without a second seed nothing tells an effect from noise: whatever it shows may be chance.
  auto const single = main_effects(std::vector<Observation>{runs[0], runs[2]}, {2});
  EXPECT_NEAR(single.by_chance(single.factors.at(0)), 1., 1e-15);
}

TEST(MainEffects, AddUpInAFullGridAlone) {
  auto runs = grid();
  runs.pop_back();
  EXPECT_FALSE(main_effects(runs, {3, 2}).balanced);  // one seed is missing
  runs.pop_back();
  EXPECT_FALSE(main_effects(runs, {3, 2}).balanced);  // one trial is missing
  runs.resize(8);
  auto const rest = main_effects(runs, {3, 2});  // one level is missing, which leaves a grid
  EXPECT_TRUE(rest.balanced);
  EXPECT_EQ(rest.factors.at(0).freedom, 1u);
  EXPECT_TRUE(std::isnan(rest.factors.at(0).means.at(2)));
  EXPECT_NEAR(rest.factors.at(0).range(), 0.115, 1e-15);
  auto sum = rest.within + rest.interactions() * rest.total;
  for (auto const& factor : rest.factors) sum += factor.squares;
  EXPECT_NEAR(sum, rest.total, 1e-15);
}

TEST(MainEffects, TellTrialsOfTheSameLevelsApart) {
  // Two trials share a bin: what tells them apart is no noise of seeds.
  auto const runs =
      std::vector<Observation>{{{0}, 0, 1.}, {{0}, 1, 3.}, {{1}, 2, 5.}, {{1}, 3, 7.}};
  auto const effects = main_effects(runs, {2});
  EXPECT_FALSE(effects.balanced);
  EXPECT_EQ(effects.trials, 4u);
  EXPECT_EQ(effects.within, 0.);
  EXPECT_EQ(effects.total, 20.);
  EXPECT_EQ(effects.factors.at(0).squares, 16.);
  EXPECT_NEAR(effects.by_chance(effects.factors.at(0)), 1. / 3., 1e-15);
}

TEST(MainEffects, OfEqualRunsAreNoNumbers) {
  auto const runs = std::vector<Observation>{{{0}, 0, .5}, {{1}, 1, .5}};
  auto const effects = main_effects(runs, {2});
  EXPECT_TRUE(std::isnan(effects.share(effects.factors.at(0).squares)));
}

TEST(MainEffects, RefuseWhatIsNoTable) {
  EXPECT_EQ(message_of<qlora::ShapeError>([] { main_effects({}, {2}); }),
            "main effects: expected at least one run, found none");
  auto const runs = std::vector<Observation>{{{2}, 0, 1.}};
  EXPECT_EQ(message_of<qlora::ShapeError>([&] { main_effects(runs, {2}); }),
            "main effects: expected levels of 1 factors, each below its number of levels");
}

}  // namespace
