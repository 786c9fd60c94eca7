#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/reliability.hpp>

#include "support/statistics.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::expect_close;
using qlora::testing::ranking_of;
using qlora::testing::statistics;

TEST(Reliability, AgreesWithScikitLearn) {
  for (auto const& sample : statistics().at("samples")) {
    SCOPED_TRACE(sample.at("name"));
    auto const ranking = ranking_of(sample);
    auto const& golden = sample.at("calibration");
    auto const log_odds = LogOdds{0.7, -0.4};
    expect_close(brier_score(ranking, log_odds), golden.at("brier"));
    expect_close(log_loss(ranking, log_odds), golden.at("log_loss"));
    for (auto const strategy : {Bins::uniform, Bins::quantile}) {
      auto const key = std::string{strategy == Bins::uniform ? "uniform" : "quantile"};
      SCOPED_TRACE(key);
      auto const bins = reliability_curve(ranking, log_odds, 7, strategy);
      ASSERT_EQ(bins.size(), golden.at(key)[0].size());
      for (std::size_t i = 0; i < bins.size(); ++i) {
        expect_close(bins[i].predicted, golden[key][0][i]);
        expect_close(bins[i].observed, golden[key][1][i]);
        EXPECT_EQ(bins[i].residues, golden[key][2][i].get<std::uint64_t>());
      }
      expect_close(expected_calibration_error(bins), golden.at(key + "_error"));
    }
  }
}

TEST(Reliability, IsNotANumberWithoutResidues) {
  EXPECT_TRUE(reliability_curve({}, {}).empty());
  EXPECT_TRUE(reliability_curve({}, {}, 5, Bins::quantile).empty());
  EXPECT_TRUE(std::isnan(expected_calibration_error({})));
  EXPECT_TRUE(std::isnan(brier_score({}, {})) && std::isnan(log_loss({}, {})));
  EXPECT_THROW(reliability_curve({}, {}, 0), qlora::InputError);
}

TEST(LogLoss, StaysFinite) {
  EXPECT_EQ(log_loss(ranking_of({0}, {1e30f}), {}), double{1e30f});
}

}  // namespace
