/// Everything for fine-tuning ESM-2 on binding sites; the header that programs include.
#pragma once

#include <qlora/adapt/placement.hpp>
#include <qlora/backend/cpu.hpp>
#include <qlora/data/read.hpp>
#include <qlora/experiment.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/quant/any.hpp>

namespace qlora::inline v1::backend {

/// The machine's own backend.
using Native = Cpu<>;

}  // namespace qlora::inline v1::backend
