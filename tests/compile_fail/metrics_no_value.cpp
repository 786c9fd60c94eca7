// expect: a metric needs static constexpr std::string_view name, using Accumulator = ..., and
// static double value
#include <string_view>

#include <qlora/metrics/metric_set.hpp>

struct NoValue {
  static constexpr std::string_view name = "no_value";
  using Accumulator = qlora::metrics::Confusion;
#if defined(QLORA_COMPILE_FAIL_CONTROL)
  static double value(Accumulator const&) {
    return 0;
  }
#endif
};

int main() {
  qlora::MetricSet<qlora::metrics::F1, NoValue> metrics;
}
