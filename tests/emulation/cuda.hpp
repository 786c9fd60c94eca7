/// What kernels and their callers use of CUDA, on the CPU: one block after the other, its threads
/// fibers (see fibers.hpp), device memory on the heap, so that AddressSanitizer watches it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#include "emulation/fibers.hpp"
#include "emulation/streams.hpp"
#include "emulation/warp.hpp"

#define __global__
#define __device__
#define __host__
#define threadIdx (::emulation::this_fiber().thread)
#define blockIdx (::emulation::machine().block_index)

using emulation::dim3;

// Not macros: members of the runtime's structs have these names too.
inline dim3 const& blockDim = emulation::machine().block;
inline dim3 const& gridDim = emulation::machine().grid;

inline void __syncthreads(std::source_location at = std::source_location::current()) {
  emulation::wait(emulation::Waiting::for_block, 0, at);
}

inline void __syncwarp(unsigned mask = ~0u,
                       std::source_location at = std::source_location::current()) {
  emulation::wait(emulation::Waiting::for_lanes, mask, at);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane,
              std::source_location at = std::source_location::current()) {
  return emulation::exchange(mask, value, static_cast<unsigned>(lane) % 32, at);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes,
                  std::source_location at = std::source_location::current()) {
  return emulation::exchange(mask, value, emulation::lane() ^ static_cast<unsigned>(lanes), at);
}

/// Above the warp's end a lane gets its own value.
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes,
                   std::source_location at = std::source_location::current()) {
  auto const lane = emulation::lane();
  return emulation::exchange(mask, value, lane + lanes < 32 ? lane + lanes : lane, at);
}

// The runtime's functions that the library calls, and what they are given.
enum cudaError_t { cudaSuccess, cudaErrorMemoryAllocation, cudaErrorNoDevice };
enum cudaMemcpyKind { cudaMemcpyDefault };
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
using cudaStream_t = emulation::Stream*;
using cudaEvent_t = emulation::Event*;
using cudaGraph_t = emulation::Graph*;
using cudaGraphExec_t = emulation::Graph const**;
using cudaGraphNode_t = emulation::Node*;
struct cudaKernelNodeParams {
  void* func;
  dim3 gridDim, blockDim;
  unsigned sharedMemBytes;
  void** kernelParams;
  void** extra;
};
inline constexpr unsigned cudaEventDefault = 0;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaStreamNonBlocking = 1;

inline char const* cudaGetErrorString(cudaError_t status) {
  return status == cudaSuccess ? "no error" : "out of memory";
}
inline cudaError_t cudaGetDeviceCount(int* devices) {
  *devices = 1;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  emulation::finish_all();
  return cudaSuccess;
}

inline cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  *data = std::malloc(bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
inline cudaError_t cudaFree(void* data) {
  emulation::finish_quietly();
  std::free(data);
  return cudaSuccess;
}
inline cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  auto const status = cudaMalloc(data, bytes);
  emulation::queues().pinned[static_cast<std::byte*>(*data)] = bytes;
  return status;
}
inline cudaError_t cudaFreeHost(void* data) {
  emulation::queues().pinned.erase(static_cast<std::byte*>(data));
  return cudaFree(data);
}
/// Waits for no stream.
inline cudaError_t cudaMemcpy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
/// Reads pinned memory when its turn comes, other memory at once.
inline cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind,
                                   cudaStream_t stream) {
  if (emulation::is_pinned(from) || emulation::is_pinned(to)) {
    emulation::enqueue(*stream, [=] { std::memcpy(to, from, bytes); });
  } else {
    auto const* const first = static_cast<std::byte const*>(from);
    emulation::enqueue(*stream, [to, read = std::vector<std::byte>(first, first + bytes)] {
      std::memcpy(to, read.data(), read.size());
    });
  }
  return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new emulation::Stream;
  emulation::queues().streams.insert(*stream);
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  emulation::finish_quietly();
  emulation::queues().streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream != nullptr) emulation::work_until([&] { return stream->items.empty(); });
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  emulation::wait(*stream, *event);
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new emulation::Event;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  emulation::record(*event, *stream);
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  auto const mark = event->mark;
  if (mark != nullptr) emulation::work_until([&] { return *mark; });
  return cudaSuccess;
}
/// Nothing takes time here.
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 0.f;
  return cudaSuccess;
}

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             std::size_t, cudaStream_t stream) {
  auto const bind = [=](void** values) -> std::function<void()> {
    auto const copies = [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::tuple<Parameters...>{*static_cast<Parameters*>(values[I])...};
    }
    (std::index_sequence_for<Parameters...>{});
    return [=] { emulation::run(grid, block, [&] { std::apply(kernel, copies); }); };
  };
  emulation::enqueue(*stream, bind(arguments), bind);
  return cudaSuccess;
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  emulation::begin_recording(*stream);
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = emulation::end_recording(*stream).release();
  return cudaSuccess;
}
inline cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                            unsigned long long*, cudaGraph_t*,
                                            cudaGraphNode_t const** last, void const**,
                                            std::size_t* count) {
  *status =
      stream->recorded == nullptr ? cudaStreamCaptureStatusNone : cudaStreamCaptureStatusActive;
  *last = stream->last.data();
  *count = stream->last.size();
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* program, cudaGraph_t graph, unsigned) {
  *program = new emulation::Graph const* {graph};
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t program) {
  delete program;
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t program, cudaStream_t stream) {
  emulation::enqueue(*stream, emulation::work_of(**program));
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t, cudaGraphNode_t node,
                                                    cudaKernelNodeParams const* parameters) {
  node->run = node->rebind(parameters->kernelParams);
  return cudaSuccess;
}
