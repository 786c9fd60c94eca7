/// The few things that kernels and their callers need of CUDA. Kernels get at shared memory and are
/// started through here alone, so that tests can run the same source on the CPU.
#pragma once

#if defined(QLORA_EMULATE_CUDA)
#include <emulation/cuda.hpp>  // of the tests
#elif defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#error "expected nvcc; only tests define QLORA_EMULATE_CUDA to run kernels on the CPU"
#endif

#include <string>
#include <utility>

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

/// A queue of work on the current device; move-only.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "new stream"); }
  Stream(Stream&& other) noexcept : stream_{std::exchange(other.stream_, nullptr)} {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Stream() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor)
  /// Waits for all work in it, and throws SystemError if any of it failed.
  void synchronize() const { check(cudaStreamSynchronize(stream_), "wait for a stream"); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A place in a stream that can be waited for; move-only.
class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "new event"); }
  Event(Event&& other) noexcept : event_{std::exchange(other.event_, nullptr)} {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  void record(cudaStream_t stream) const {
    check(cudaEventRecord(event_, stream), "mark an event");
  }
  /// Waits for what was in the stream when the event was recorded. Throws SystemError if any of it
  /// failed.
  void synchronize() const { check(cudaEventSynchronize(event_), "wait for an event"); }

 private:
  cudaEvent_t event_ = nullptr;
};

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

/// Starts `kernel` on `grid` blocks of `block` threads. Throws SystemError if that is impossible;
/// errors while it runs surface when its stream is waited for.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream,
            Arguments const&... arguments) {
#if defined(QLORA_EMULATE_CUDA)
  static_cast<void>(stream);
  emulation::run(grid, block, [&] { kernel(arguments...); });
#else
  kernel<<<grid, block, 0, stream>>>(arguments...);
  auto const status = cudaGetLastError();
  if (status != cudaSuccess) {
    check(status, "launch of " + std::to_string(grid.x) + " blocks of " + std::to_string(block.x) +
                      " threads");
  }
#endif
}

}  // namespace qlora::inline v1::cuda
