/// The few things that kernels and their callers need of CUDA; tests put their own in its place, to
/// run the same source on the CPU.
#pragma once

#if defined(QLORA_EMULATE_CUDA)
#include <emulation/cuda.hpp>  // of the tests
#elif defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#error "expected nvcc; only tests define QLORA_EMULATE_CUDA to run kernels on the CPU"
#endif

#include <string>

/// Before a loop over an array that is to lie in registers.
#if defined(__CUDACC__)
#define QLORA_UNROLL _Pragma("unroll")
#else
#define QLORA_UNROLL
#endif

#include <qlora/core/error.hpp>

namespace qlora::inline v1::cuda {

/// Throws SystemError "what: reason" unless a call succeeded.
inline void check(cudaError_t status, std::string const& what) {
  if (status != cudaSuccess) throw SystemError{what + ": " + cudaGetErrorString(status)};
}

/// Whether this machine has a device that can be used.
inline cudaError_t device_status() {
  auto devices = 0;
  auto const status = cudaGetDeviceCount(&devices);
  return status == cudaSuccess && devices == 0 ? cudaErrorNoDevice : status;
}

/// Throws SystemError unless this machine has a device.
inline void require_device() {
  check(device_status(), "expected a CUDA device, found none");
}

/// The one struct in which a kernel keeps all its shared memory, uninitialised at first.
template <class S>
__device__ S& shared_storage() {
#if defined(QLORA_EMULATE_CUDA)
  return emulation::shared_storage<S>();
#else
  __shared__ S storage;
  return storage;
#endif
}

}  // namespace qlora::inline v1::cuda
