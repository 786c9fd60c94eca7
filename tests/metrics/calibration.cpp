#include <cmath>

#include <gtest/gtest.h>

#include <qlora/metrics/calibration.hpp>
#include <qlora/metrics/reliability.hpp>

#include "support/errors.hpp"
#include "support/statistics.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::expect_close;
using qlora::testing::message_of;
using qlora::testing::ranking_of;
using qlora::testing::statistics;

TEST(Calibration, AgreesWithScikitLearnsLogisticRegression) {
  auto fitted = 0, separated = 0;
  for (auto const& sample : statistics().at("samples")) {
    SCOPED_TRACE(sample.at("name"));
    auto const ranking = ranking_of(sample);
    auto const& golden = sample.at("calibration");
    if (golden.contains("platt")) {
      auto const fit = platt_scaling(ranking);
      expect_close(fit.log_odds.slope, golden["platt"][0], 1e-8);
      expect_close(fit.log_odds.intercept, golden["platt"][1], 1e-8);
      auto const expected = golden.at("separated") ? FitOutcome::separated : FitOutcome::fitted;
      EXPECT_EQ(fit.outcome, expected);
      ++(golden["separated"] ? separated : fitted);
    }
    if (golden.contains("temperature")) {
      auto const fit = temperature_scaling(ranking, golden["temperature"][0]);
      expect_close(fit.log_odds.slope, golden["temperature"][1], 1e-8);
      expect_close(fit.log_odds.intercept, golden["temperature"][2], 1e-8);
      EXPECT_EQ(fit.outcome, FitOutcome::fitted);
    }
  }
  EXPECT_EQ(fitted, 4);
  EXPECT_EQ(separated, 3);
}

TEST(Calibration, IsTheMaximumOfTheLikelihood) {
  auto const ranking = ranking_of({1, 0, 1, 1, 0, 0, 0}, {2, 1.5f, 1, 0.5f, 0, -1, -3});
  auto const fit = platt_scaling(ranking).log_odds;
  auto const temperature = temperature_scaling(ranking).log_odds;
  EXPECT_EQ(temperature.intercept, 0);
  for (auto const step : {-1e-3, 1e-3}) {
    EXPECT_LT(log_loss(ranking, fit), log_loss(ranking, {fit.slope + step, fit.intercept}));
    EXPECT_LT(log_loss(ranking, fit), log_loss(ranking, {fit.slope, fit.intercept + step}));
    EXPECT_LT(log_loss(ranking, temperature), log_loss(ranking, {temperature.slope + step, 0}));
  }
}

TEST(Calibration, StaysFiniteWhereTheClassesAreSeparated) {
  auto const ranking = ranking_of({0, 0, 0, 1, 1}, {-1e4f, -3, 0.5f, 0.5f, 1e4f});
  auto const fit = platt_scaling(ranking);
  EXPECT_EQ(fit.outcome, FitOutcome::separated);
  EXPECT_TRUE(std::isfinite(fit.log_odds.slope) && fit.log_odds.slope > 0);
  // The smoothed targets bound what is claimed on average: their means are kept.
  auto sum = 0.;
  for (auto const score : {-1e4, -3., 0.5, 0.5, 1e4}) sum += fit.log_odds.probability(score);
  EXPECT_NEAR(sum, 3 * (1. / 5) + 2 * (3. / 4), 1e-9);
  EXPECT_EQ(temperature_scaling(ranking_of({0, 1}, {-2, 0})).outcome, FitOutcome::separated);
  EXPECT_EQ(temperature_scaling(ranking_of({0, 1}, {0, -2})).outcome, FitOutcome::separated);
  EXPECT_EQ(temperature_scaling(ranking_of({0, 1}, {1, 2})).outcome, FitOutcome::fitted);
}

TEST(Calibration, SaysWhenThereIsNothingToFit) {
  for (auto const label : {0, 1}) {
    auto const fit = platt_scaling(ranking_of({label, label}, {1, 2}));
    EXPECT_EQ(fit.outcome, FitOutcome::single_class);
    EXPECT_TRUE(std::isnan(fit.log_odds.slope) && std::isnan(fit.log_odds.probability(1)));
  }
  EXPECT_EQ(temperature_scaling({}).outcome, FitOutcome::single_class);
  auto const constant = platt_scaling(ranking_of({1, 0, 0, 0}, {7, 7, 7, 7}));
  EXPECT_EQ(constant.outcome, FitOutcome::constant);
  EXPECT_NEAR(constant.log_odds.probability(7), 0.25, 1e-15);
  auto const zero = temperature_scaling(ranking_of({1, 0}, {2, 2}), -2);
  EXPECT_EQ(zero.outcome, FitOutcome::constant);
  EXPECT_EQ(zero.log_odds.probability(2), 0.5);
}

TEST(PriorCorrection, TakesClassWeightsOffTheOdds) {
  // A site in 10 residues, balanced weights: even odds under the weights are odds of 1 to 9.
  auto const corrected = prior_correction({10. / 18, 10. / 2});
  EXPECT_NEAR(corrected.probability(0), 0.1, 1e-15);
  EXPECT_EQ(corrected.slope, 1);
  EXPECT_EQ(message_of<qlora::InputError>([] {
              prior_correction({0, 1});
            }),
            "prior correction: expected positive class weights, found 0.000000 and 1.000000");
  EXPECT_THROW(prior_correction({1, -1}), qlora::InputError);
  EXPECT_THROW(prior_correction({1e-300, 1e300}), qlora::InputError);
}

}  // namespace
