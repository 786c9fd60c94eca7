// expect: expected a metric set, such as MetricSet<metrics::F1, YourMetric>
#include <qlora/backend/cpu.hpp>
#include <qlora/experiment.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/quant/full.hpp>

#if defined(QLORA_COMPILE_FAIL_CONTROL)
using Metrics = qlora::MetricSet<qlora::metrics::F1>;
#else
using Metrics = qlora::metrics::F1;
#endif

using Study = qlora::Experiment<qlora::model::Dynamic, qlora::Full<float>, qlora::Qkv, Metrics,
                                qlora::backend::Cpu<>>;
static_assert(sizeof(Study) > 0);
