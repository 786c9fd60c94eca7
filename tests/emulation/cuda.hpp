/// What kernels and their callers use of CUDA, on the CPU: one block after the other, its threads
/// fibers (see fibers.hpp), device memory on the heap, so that AddressSanitizer watches it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "emulation/fibers.hpp"
#include "emulation/warp.hpp"

#define __global__
#define __device__
#define __host__
#define threadIdx (::emulation::this_fiber().thread)
#define blockIdx (::emulation::machine().block_index)
#define blockDim (::emulation::machine().block)
#define gridDim (::emulation::machine().grid)

using emulation::dim3;

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

// The runtime's functions that the library calls. Streams are empty: work is done when it is asked
// for.
enum cudaError_t { cudaSuccess, cudaErrorMemoryAllocation, cudaErrorNoDevice };
enum cudaMemcpyKind { cudaMemcpyDefault };
using cudaStream_t = void*;
using cudaEvent_t = void*;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaStreamNonBlocking = 1;

inline char const* cudaGetErrorString(cudaError_t status) {
  return status == cudaSuccess ? "no error" : "out of memory";
}
inline cudaError_t cudaGetDeviceCount(int* devices) {
  *devices = 1;
  return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  *data = std::malloc(bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
inline cudaError_t cudaFree(void* data) {
  std::free(data);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind,
                                   cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}
inline cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  return cudaMalloc(data, bytes);
}
inline cudaError_t cudaFreeHost(void* data) {
  return cudaFree(data);
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) {
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t) {
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
