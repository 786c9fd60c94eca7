/// The CUDA backend, whose products are cuBLASLt's.
#pragma once

#include <qlora/backend/cuda/backend.cuh>
#include <qlora/backend/cuda/cublaslt.cuh>

namespace qlora::inline v1::backend {

template <ComputeType T = float>
using Cuda = cuda::Backend<T, cuda::CublasLt>;

}  // namespace qlora::inline v1::backend
