// What docs/statistics.md shows: from predictions to a verdict.
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/random.hpp>
#include <qlora/metrics/crossed.hpp>
#include <qlora/metrics/estimand.hpp>
#include <qlora/metrics/groups.hpp>
#include <qlora/metrics/ranking.hpp>

namespace {

namespace metrics = qlora::metrics;

constexpr auto families = 20u, proteins = 6 * families;

/// Residues of one run on proteins of 20 families, of which the last has no site; `strength` tells
/// sites from others.
std::vector<metrics::Prediction> run(double strength, std::uint64_t seed) {
  auto random = qlora::RandomSequence{{.seed = seed}};
  auto predictions = std::vector<metrics::Prediction>{};
  for (auto protein = 0u; protein < proteins; ++protein) {
    for (auto residue = 0u; residue < 100; ++residue) {
      auto const site = residue < 5 && protein % families != families - 1;
      auto const margin = random.normal() + (site ? static_cast<float>(strength) : 0.f);
      predictions.push_back({.logit0 = 0, .logit1 = margin, .label = site, .protein = protein});
    }
  }
  return predictions;
}

std::string compare(double of_all, double of_qkv) {
  auto family_of_protein = std::vector<std::uint32_t>{};
  for (auto protein = 0u; protein < proteins; ++protein)
    family_of_protein.push_back(protein % families);

  // One run's average precision in each family, not a number in one without sites.
  auto const by_family = [&](std::vector<metrics::Prediction> const& predictions) {
    auto grouped = metrics::Grouped<metrics::Ranking>{family_of_protein, families};
    for (auto const& prediction : predictions) grouped.add(prediction);
    grouped.finish();
    return grouped.values<metrics::WhereBothClasses<metrics::AveragePrecision>>();
  };
  auto all = metrics::GroupTable<double>{};  // (seeds, families)
  auto qkv = metrics::GroupTable<double>{};
  for (auto const seed : {1u, 2u, 3u, 4u, 5u}) {
    all.push_back(by_family(run(of_all, seed)));
    qkv.push_back(by_family(run(of_qkv, 100 + seed)));
  }
  auto const difference = metrics::Estimand<metrics::MeanOverGroups>{all, qkv};
  auto const interval = metrics::student_interval(difference);
  auto const verdict = metrics::verdict(interval, 0.05);
  EXPECT_EQ(interval.groups, 19u);
  EXPECT_EQ(interval.left_out, 1u);
  return std::string{metrics::name(verdict)};
}

TEST(Comparison, FindsWhatIsThere) {
  EXPECT_EQ(compare(2.5, 1.5), "better");
  EXPECT_EQ(compare(1.5, 2.5), "worse");
  EXPECT_EQ(compare(2, 2), "equivalent");
}

}  // namespace
