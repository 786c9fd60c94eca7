#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/confusion.hpp>
#include <qlora/metrics/groups.hpp>
#include <qlora/metrics/ranking.hpp>

#include "support/errors.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::message_of;

constexpr auto nan = std::numeric_limits<double>::quiet_NaN();

/// Four groups: ranked well, ranked badly, without sites, without residues. Proteins 0 and 3 share
/// group 1.
template <class A>
Grouped<A> four_groups() {
  auto grouped = Grouped<A>{{1, 0, 2, 1}, 4};
  auto const add = [&](std::uint32_t protein, float margin, int label) {
    grouped.add({.logit0 = 0, .logit1 = margin, .label = label, .protein = protein});
  };
  add(1, 2, 1), add(1, 1, 0);
  add(0, 2, 0), add(3, 1, 1), add(3, -1, 0), add(0, -2, 0);
  add(2, 1, 0), add(2, -1, 0);
  grouped.finish();
  return grouped;
}

TEST(Grouped, KeepsProteinsOfAGroupTogether) {
  auto const values = four_groups<Ranking>().values<AveragePrecision>();
  EXPECT_EQ(values, (std::vector<double>{1, 0.5, 0, 0}));
}

TEST(Grouped, LeavesOutWhereNothingIsRanked) {
  auto const values = four_groups<Ranking>().values<WhereBothClasses<AveragePrecision>>();
  EXPECT_EQ(values[1], 0.5);
  EXPECT_TRUE(std::isnan(values[2]) && std::isnan(values[3]));
  auto const mean = mean_over_groups(values);
  EXPECT_EQ(mean.mean, 0.75);
  EXPECT_EQ(mean.groups, 2u);
  EXPECT_EQ(mean.left_out, 2u);
  auto sites = Grouped<Ranking>{{0}, 1};  // alone: any ranking of them is perfect
  sites.add({.logit0 = 0, .logit1 = -1, .label = 1, .protein = 0});
  sites.finish();
  EXPECT_EQ(sites.values<AveragePrecision>()[0], 1);
  EXPECT_TRUE(std::isnan(sites.values<WhereBothClasses<AveragePrecision>>()[0]));
}

TEST(Grouped, GivesPrevalence) {
  auto const grouped = four_groups<Confusion>();
  auto const values = grouped.values(prevalence<Confusion>);
  EXPECT_EQ(values[0], 0.5);
  EXPECT_EQ(values[1], 0.25);
  EXPECT_EQ(values[2], 0);
  EXPECT_TRUE(std::isnan(values[3]));
  EXPECT_EQ(four_groups<Ranking>().values(prevalence<Ranking>)[1], 0.25);
  // What average precision is by chance, over the groups that it is averaged over.
  auto const by_chance = mean_over_groups(grouped.values<WhereBothClasses<Prevalence>>());
  EXPECT_EQ(by_chance.mean, 0.375);
  EXPECT_EQ(by_chance.left_out, 2u);
  EXPECT_EQ(grouped.values<F1>()[0], 2. / 3);
}

TEST(Grouped, MergesParts) {
  auto parts = four_groups<Confusion>();
  parts.merge(four_groups<Confusion>());
  EXPECT_EQ(parts[1], (Confusion{.tp = 2, .fp = 2, .tn = 4}));
  EXPECT_EQ(message_of<qlora::ShapeError>([&] {
              parts.merge(Grouped<Confusion>{{}, 3});
            }),
            "groups: expected 4 to merge, found 3");
}

/// Residues of class 1 times the weight of that class.
struct WeighedSites {
  double weight = 0, sum = 0;
  explicit WeighedSites(Options const& options) : weight{options.class_weights[1]} {}
  void add(Prediction const& p) { sum += p.positive() ? weight : 0; }
  void merge(WeighedSites const& other) { sum += other.sum; }
};

TEST(Grouped, TakesAUsersAccumulator) {
  auto grouped = Grouped<WeighedSites>{{0, 1}, 2, {.class_weights = {1, 5}}};
  grouped.add({.logit0 = 0, .logit1 = 0, .label = 1, .protein = 1});
  grouped.finish();
  EXPECT_EQ(grouped.values([](WeighedSites const& sites) { return sites.sum; }),
            (std::vector<double>{0, 5}));
}

TEST(Grouped, RefusesWhatHasNoGroup) {
  EXPECT_EQ(message_of<qlora::InputError>([] {
              Grouped<Confusion>{{0, 2}, 2};
            }),
            "groups: expected numbers below 2, found 2");
  auto grouped = Grouped<Confusion>{{0, 1}, 2};
  EXPECT_EQ(message_of<qlora::InputError>(
                [&] { grouped.add({.logit0 = 0, .logit1 = 0, .label = 0, .protein = 2}); }),
            "groups: expected a protein below 2, found 2");
  EXPECT_EQ(message_of<qlora::DivergedError>(
                [&] { grouped.add({.logit0 = 0, .logit1 = NAN, .label = 0, .protein = 1}); }),
            "metrics: protein 1: expected finite logits, found 0.000000 and nan");
  EXPECT_THROW(grouped.add({.logit0 = 0, .logit1 = 0, .label = 2}), qlora::InputError);
  grouped.add({.logit0 = 0, .logit1 = NAN, .label = -100, .protein = 1});
  EXPECT_EQ(grouped[1].total(), 0u);
}

TEST(GroupMean, IsNotANumberWithoutGroups) {
  auto const mean = mean_over_groups(std::vector{nan, nan});
  EXPECT_TRUE(std::isnan(mean.mean));
  EXPECT_EQ(mean.left_out, 2u);
  EXPECT_TRUE(std::isnan(mean_over_groups({}).mean));
}

TEST(EffectiveGroups, CountsEqualOnes) {
  EXPECT_DOUBLE_EQ(effective_groups(std::vector{3., 3., 3., 3.}), 4);
  EXPECT_DOUBLE_EQ(effective_groups(std::vector{6., 0., 0.}), 1);
  // One family of 128 proteins and 591 that share 1451: far fewer than 592.
  auto sizes = std::vector<double>(592, 1451. / 591);
  sizes.front() = 128;
  EXPECT_NEAR(effective_groups(sizes), 1579. * 1579 / (128. * 128 + 1451. * 1451 / 591), 1e-9);
  EXPECT_LT(effective_groups(sizes), 130);
  EXPECT_TRUE(std::isnan(effective_groups(std::vector{0., 0.})));
}

}  // namespace
