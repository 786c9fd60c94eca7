// Whether intervals keep their promise: identical arms are called different about as often as the
// level says, and arms that differ are told apart.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/random.hpp>
#include <qlora/metrics/bootstrap.hpp>
#include <qlora/metrics/confusion.hpp>
#include <qlora/metrics/crossed.hpp>
#include <qlora/metrics/estimand.hpp>

namespace {

using namespace qlora::metrics;
using qlora::RandomSequence;

constexpr auto repetitions = 200u;
constexpr auto most_false = 18u;  // 5 % of 200 are 10; more than 18 has probability 0.6 %

/// Where the numbers of two arms come from, drawn anew in each repetition: families of 1 to 128
/// proteins (one in ten of more than 20), five seeds, and deviations in units of the metric.
struct World {
  double effect = 0;       ///< of the first arm
  double of_seeds = 0.01;  ///< shared by all families of a run
  double of_runs = 0.1;    ///< of a run on a family of one protein
  double of_arms = 0;      ///< of an arm on a family, the same in every run
  std::size_t groups = 80, seeds = 5;
};

struct Arms {
  GroupTable<double> values, reference_values;     ///< average precision, say
  GroupTable<Confusion> counts, reference_counts;  ///< of as many residues as the family is large
};

Arms draw_arms(World const& world, std::uint32_t repetition) {
  auto random = RandomSequence{{.seed = 2026, .step = repetition}};
  auto const normal = [&] { return static_cast<double>(random.normal()); };
  auto const uniform = [&] { return static_cast<double>(random.uniform()); };
  struct Family {
    double level, proteins, preference;
  };
  auto families = std::vector<Family>(world.groups);
  for (auto& family : families) {
    auto const proteins = std::min(128., std::floor(std::pow(1 - uniform(), -1 / 0.77)));
    family = {0.15 + 0.5 * uniform(), proteins, world.of_arms * normal()};
  }
  auto const around = [&](double trials, double p) {
    auto const count = std::round(trials * p + std::sqrt(trials * p * (1 - p)) * normal());
    return static_cast<std::uint64_t>(std::clamp(count, 0., trials));
  };
  auto const run = [&](double effect, double sign, auto& values, auto& counts) {
    auto& of_values = values.emplace_back();
    auto& of_counts = counts.emplace_back();
    auto const of_seed = world.of_seeds * normal();
    for (auto const& [level, proteins, preference] : families) {
      auto const noise = world.of_runs * normal() / std::sqrt(proteins);
      auto const mean = level + effect + of_seed + sign * preference;
      of_values.push_back(std::clamp(mean + noise, 0., 1.));
      auto const sites = 8 * proteins, others = 300 * proteins;
      auto const tp = around(sites, std::clamp(mean, 0.01, 0.99));
      auto const fp = around(others, 0.02);
      of_counts.push_back({.tp = tp,
                           .fp = fp,
                           .tn = static_cast<std::uint64_t>(others) - fp,
                           .fn = static_cast<std::uint64_t>(sites) - tp});
    }
  };
  auto arms = Arms{};
  for (std::size_t s = 0; s < world.seeds; ++s) {
    run(world.effect, 0.5, arms.values, arms.counts);
    run(0, -0.5, arms.reference_values, arms.reference_counts);
  }
  return arms;
}

struct Tally {
  unsigned better = 0, worse = 0, equivalent = 0;
  unsigned different() const { return better + worse; }

  friend std::ostream& operator<<(std::ostream& out, Tally const& tally) {
    return out << tally.better << " better, " << tally.worse << " worse, " << tally.equivalent
               << " equivalent";
  }
};

/// Called different in at most as many repetitions as chance allows.
void expect_null(Tally const& tally) {
  EXPECT_LE(tally.different(), most_false) << tally;
}

/// Verdicts over the repetitions, by `interval_of(arms)`.
template <class IntervalOf>
Tally judge_all(World const& world, IntervalOf interval_of, double margin = 0) {
  auto tally = Tally{};
  for (auto r = 0u; r < repetitions; ++r) {
    switch (verdict(interval_of(draw_arms(world, r)), margin)) {
      case Verdict::better:
        ++tally.better;
        break;
      case Verdict::worse:
        ++tally.worse;
        break;
      case Verdict::equivalent:
        ++tally.equivalent;
        break;
      case Verdict::undecided:
        break;
    }
  }
  return tally;
}

Interval student_of_means(Arms const& arms) {
  return student_interval(Estimand<MeanOverGroups>{arms.values, arms.reference_values});
}
Interval student_of_f1(Arms const& arms) {
  return student_interval(Estimand<Pooled<F1>>{arms.counts, arms.reference_counts});
}

constexpr auto seeds_dominate = World{.of_seeds = 0.02, .of_runs = 0.02};

// In comments: the count, and the rate in 6,000 repetitions.
TEST(Null, IdenticalArmsAreRarelyCalledDifferent) {
  auto const worlds = std::vector<std::pair<char const*, World>>{
      {"noise of seeds and runs", {}},                              // 14, 4.6 %
      {"seeds dominate", seeds_dominate},                           // 9, 4.5 %
      {"runs dominate", {.of_seeds = 0}},                           // 6, 2.5 %
      {"arms prefer families, on average none", {.of_arms = 0.1}},  // 11, 4.7 %
      {"three seeds", {.seeds = 3}},                                // 17, 6.3 %
      {"twelve families", {.groups = 12}}};                         // 6, 2.2 %
  for (auto const& [what, world] : worlds) {
    SCOPED_TRACE(what);
    expect_null(judge_all(world, student_of_means));
  }
}

TEST(Null, HoldsForAPooledMetricOfUnequalFamilies) {
  expect_null(judge_all({}, student_of_f1));                // 7, 4.4 %
  expect_null(judge_all({.of_arms = 0.1}, student_of_f1));  // 12, 5.7 %
}

TEST(Null, IsWhyVerdictsDoNotRestOnResampledSeeds) {
  auto const by_percentile = [](Arms const& arms) {
    auto const difference = Estimand<MeanOverGroups>{arms.values, arms.reference_values};
    return Bootstrap{difference, {.resamples = 400}}.percentile();
  };
  auto const tally = judge_all(seeds_dominate, by_percentile);  // 32, 17 %
  EXPECT_GT(tally.different(), most_false) << tally;
}

TEST(Power, ARealDifferenceIsFoundInMostRepetitions) {
  auto const tally = judge_all({.effect = 0.04}, student_of_means);  // 189, 94 %
  EXPECT_GE(tally.better, 160u) << tally;
  EXPECT_EQ(tally.worse, 0u);
}

TEST(Power, IdenticalArmsAreCalledEquivalentAndDifferentOnesAreNot) {
  auto const margin = 0.04;
  auto const same = judge_all({}, student_of_means, margin);  // 181, 89 %
  EXPECT_GE(same.equivalent, 160u) << same;
  auto const apart = judge_all({.effect = margin}, student_of_means, margin);  // 5, 2.4 %
  EXPECT_LE(apart.equivalent, most_false / 2) << apart;
}

}  // namespace
