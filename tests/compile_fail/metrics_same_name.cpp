// expect: two metrics of this set have the same name
#include <qlora/metrics/metric_set.hpp>

int main() {
  qlora::MetricSet<qlora::metrics::F1, qlora::metrics::Mcc, qlora::metrics::F1> metrics;
}
