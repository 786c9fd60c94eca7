#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/metrics/quantile.hpp>

namespace {

using qlora::metrics::quantile;

TEST(Quantile, IsLinearBetweenNeighbours) {
  auto const values = std::vector<double>{1, 2, 4, 8};
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 8);
  EXPECT_EQ(quantile(values, 0.5), 3);
  EXPECT_NEAR(quantile(values, 0.9), 6.8, 1e-15);
  EXPECT_EQ(quantile(values, 2), 8);
  EXPECT_EQ(quantile(std::vector{3.}, 0.7), 3);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

}  // namespace
