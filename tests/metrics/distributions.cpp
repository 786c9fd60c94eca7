#include <cmath>

#include <gtest/gtest.h>

#include <qlora/metrics/distributions.hpp>

#include "support/statistics.hpp"

namespace {

using namespace qlora::metrics;
using qlora::testing::expect_close;
using qlora::testing::statistics;

TEST(Distributions, AgreeWithScipy) {
  auto const& golden = statistics().at("distributions");
  for (auto const& row : golden.at("normal")) {
    SCOPED_TRACE(row);
    expect_close(normal_quantile(row[0]), row[1]);
    EXPECT_NEAR(normal_cdf(row[1]), row[0].get<double>(), 1e-15);
  }
  for (auto const& row : golden.at("student")) {
    SCOPED_TRACE(row);
    expect_close(student_quantile(row[0], row[1]), row[2], 2e-11);
    expect_close(student_cdf(1.3, row[1]), row[3]);
    expect_close(student_cdf(row[2], row[1]), row[0]);
  }
}

TEST(Distributions, EndWhereProbabilitiesDo) {
  EXPECT_EQ(normal_quantile(0), -HUGE_VAL);
  EXPECT_EQ(normal_quantile(1), HUGE_VAL);
  EXPECT_TRUE(std::isnan(normal_quantile(-0.1)) && std::isnan(normal_quantile(NAN)));
  EXPECT_TRUE(std::isnan(student_quantile(0, 3)) && std::isnan(student_quantile(0.9, NAN)));
  EXPECT_EQ(student_cdf(0, 3), 0.5);
}

}  // namespace
