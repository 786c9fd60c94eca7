// expect: two metrics of this set have the same name
#include <qlora/metrics/metric_set.hpp>

int main() {
#if defined(QLORA_COMPILE_FAIL_CONTROL)
  qlora::MetricSet<qlora::metrics::F1, qlora::metrics::Mcc> metrics;
#else
  qlora::MetricSet<qlora::metrics::F1, qlora::metrics::Mcc, qlora::metrics::F1> metrics;
#endif
}
