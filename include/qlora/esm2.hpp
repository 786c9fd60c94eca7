/// Everything for fine-tuning ESM-2 on binding sites; the header that programs include.
#pragma once

#include <qlora/adapt/placement.hpp>
#include <qlora/backend/cpu.hpp>
#include <qlora/data/read.hpp>
#include <qlora/experiment.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/quant/any.hpp>

#if defined(__CUDACC__)
#include <qlora/backend/cuda.cuh>
#endif

namespace qlora::inline v1::backend {

/// The compiler's own backend: a GPU's under nvcc, the CPU's elsewhere. It differs between them, so
/// only the source of a program names it, never a header.
#if defined(__CUDACC__)
using Native = Cuda<>;
#else
using Native = Cpu<>;
#endif

}  // namespace qlora::inline v1::backend
