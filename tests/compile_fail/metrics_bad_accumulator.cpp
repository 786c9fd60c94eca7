// expect: a metric's Accumulator needs add(Prediction const&) and merge(Accumulator const&)
#include <string_view>

#include <qlora/metrics/metric_set.hpp>

struct CannotMerge {
  void add(qlora::metrics::Prediction const&) {}
#if defined(QLORA_COMPILE_FAIL_CONTROL)
  void merge(CannotMerge const&) {}
#endif
};

struct Lonely {
  static constexpr std::string_view name = "lonely";
  using Accumulator = CannotMerge;
  static double value(CannotMerge const&) { return 0; }
};

int main() {
  qlora::MetricSet<Lonely> metrics;
}
