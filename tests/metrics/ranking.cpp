#include <cstdint>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/ranking.hpp>

namespace {

using namespace qlora::metrics;

struct Residue {
  float score;
  int label;
};

Ranking rank(std::vector<Residue> const& residues) {
  auto ranking = Ranking{};
  for (auto const& [score, label] : residues)
    ranking.add({.logit0 = -score, .logit1 = 0, .label = label});
  ranking.finish();
  return ranking;
}

std::vector<Residue> draw(std::uint32_t seed) {
  auto residues = std::vector<Residue>(60);
  for (auto& [score, label] : residues) {
    seed = seed * 1664525 + 1013904223;
    score = static_cast<float>(seed >> 28);  // 16 scores: heavy ties
    label = (seed >> 20 & 15) < 5 ? 1 : 0;
  }
  return residues;
}

TEST(Ranking, VisitsEachScoreOnce) {
  auto const ranking = rank({{2, 0}, {0.f, 1}, {2, 1}, {-0.f, 0}, {-1, 0}, {3, 1}});
  auto curve = std::vector<std::pair<std::uint64_t, std::uint64_t>>{};
  ranking.for_each_threshold([&](auto tp, auto fp, float) { curve.emplace_back(tp, fp); });
  using Curve = decltype(curve);
  EXPECT_EQ(curve, (Curve{{1, 0}, {2, 1}, {3, 2}, {3, 3}}));
}

TEST(RocAuc, IsTheChanceThatASiteOutscoresAnotherResidue) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    auto const residues = draw(seed);
    double wins = 0, pairs = 0;
    for (auto const& site : residues)
      for (auto const& other : residues)
        if (site.label == 1 && other.label == 0) {
          ++pairs;
          wins += site.score > other.score ? 1 : site.score == other.score ? 0.5 : 0;
        }
    EXPECT_EQ(RocAuc::value(rank(residues)), wins / pairs);
  }
}

TEST(AveragePrecision, IsTheMeanPrecisionOverSites) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    auto const residues = draw(seed);
    double sum = 0, sites = 0;
    for (auto const& site : residues) {
      if (site.label == 0) continue;
      double admitted = 0, right = 0;
      for (auto const& [score, label] : residues)
        if (score >= site.score) ++admitted, right += label;
      sum += right / admitted;
      ++sites;
    }
    EXPECT_NEAR(AveragePrecision::value(rank(residues)), sum / sites, 1e-15);
  }
}

TEST(PrecisionAtRecall, ReachesTheRecallExactly) {
  // Recall 1/5 ... 5/5 at precision 1, 2/3, 3/5, 4/7, 5/9.
  auto const ranking =
      rank({{9, 1}, {8, 0}, {7, 1}, {6, 0}, {5, 1}, {4, 0}, {3, 1}, {2, 0}, {1, 1}});
  EXPECT_EQ(PrecisionAtRecall<20>::value(ranking), 1);
  EXPECT_EQ(PrecisionAtRecall<80>::value(ranking), 4. / 7);
  EXPECT_EQ(PrecisionAtRecall<81>::value(ranking), 5. / 9);
  EXPECT_EQ(PrecisionAtRecall<5>::name, "precision_at_recall_05");
}

}  // namespace
