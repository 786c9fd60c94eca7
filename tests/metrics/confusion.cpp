#include <cmath>
#include <fstream>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <qlora/metrics/confusion.hpp>

namespace {

using namespace qlora::metrics;

TEST(Confusion, TakesATieAsClassZero) {
  auto c = Confusion{};
  c.add({.logit0 = 0.5f, .logit1 = 0.5f, .label = 1});
  c.add({.logit0 = 0.5f, .logit1 = 0.5f, .label = 0});
  EXPECT_EQ(c, (Confusion{.tn = 1, .fn = 1}));
}

TEST(Confusion, SeesTheSmallestDifference) {
  auto c = Confusion{};
  c.add({.logit0 = 1, .logit1 = std::nextafter(1.f, 2.f), .label = 1});
  c.add({.logit0 = 0, .logit1 = std::numeric_limits<float>::denorm_min(), .label = 0});
  EXPECT_EQ(c, (Confusion{.tp = 1, .fp = 1}));
}

TEST(Mcc, HoldsForHugeCounts) {
  auto file = std::ifstream{QLORA_TEST_DATA "/metrics.json"};
  auto const golden = nlohmann::json::parse(file);
  ASSERT_FALSE(golden.at("counts").empty());
  for (auto const& counts : golden["counts"]) {
    auto const c =
        Confusion{.tp = counts["tp"], .fp = counts["fp"], .tn = counts["tn"], .fn = counts["fn"]};
    EXPECT_NEAR(Mcc::value(c), counts["mcc"].get<double>(), 1e-12) << counts;
  }
}

TEST(Mcc, KeepsTheLastBitOfACancellation) {
  auto const n = std::uint64_t{1} << 40;
  // tp * tn - fp * fn = n^2 - (n + 1)(n - 1) = 1, which the products rounded to double do not show.
  EXPECT_DOUBLE_EQ(Mcc::value({.tp = n, .fp = n + 1, .tn = n, .fn = n - 1}) * std::ldexp(4, 80), 1);
}

TEST(Confusion, DefinesDivisionByZero) {
  auto const only_negatives = Confusion{.fp = 1, .tn = 3};
  EXPECT_EQ(Recall::value(only_negatives), 0);
  EXPECT_EQ(Precision::value({.tn = 3, .fn = 1}), 0);
  EXPECT_EQ(Mcc::value(only_negatives), 0);
  EXPECT_EQ(BalancedAccuracy::value(only_negatives), 0.75);
  EXPECT_EQ(AucCard::value({.tp = 1, .fn = 3}), 0.25);
}

}  // namespace
