#include <gtest/gtest.h>

#include <qlora/metrics/metric.hpp>

namespace {

using namespace qlora::metrics;

struct Count {
  int residues = 0;
  void add(Prediction const&) { ++residues; }
  void merge(Count const& other) { residues += other.residues; }
};

struct Good {
  static constexpr char const* name = "good";
  using Accumulator = Count;
  static double value(Count const& count) { return count.residues; }
};
struct NameAtRunTime : Good {
  static inline std::string_view name = "late";
};
struct NoName : Good {
  static constexpr std::string_view name{};
};
struct NoValue {
  static constexpr std::string_view name = "no value";
  using Accumulator = Count;
};

static_assert(Metric<Good> && Accumulator<Count>);
static_assert(!Metric<NameAtRunTime> && !Metric<NoName> && !Metric<NoValue> && !Metric<int>);
static_assert(!Accumulator<int>);

TEST(Prediction, RanksByTheMarginInFloat) {
  auto const p = Prediction{.logit0 = 1e8f, .logit1 = 1e8f + 8, .label = 1};
  EXPECT_EQ(p.margin(), 8.f);
  EXPECT_TRUE(p.predicted());
  EXPECT_TRUE(p.positive());
}

}  // namespace
