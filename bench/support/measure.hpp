/// How long work takes on any backend.
#pragma once

#include <cstddef>

#include <benchmark/benchmark.h>

#if defined(__CUDACC__)
#include <qlora/backend/cuda/runtime.cuh>
#endif

namespace bench {

#if defined(__CUDACC__)
/// Time between two places in a stream.
class StreamTimer {
 public:
  explicit StreamTimer(cudaStream_t stream) : stream_{stream} {
    for (auto& event : events_) qlora::cuda::check(cudaEventCreate(&event), "new event");
  }
  StreamTimer(StreamTimer const&) = delete;
  StreamTimer& operator=(StreamTimer const&) = delete;
  ~StreamTimer() {
    for (auto const event : events_) cudaEventDestroy(event);
  }

  void start() { record(events_[0]); }
  /// Seconds since start(), after waiting for everything asked for since.
  double stop() {
    record(events_[1]);
    qlora::cuda::check(cudaEventSynchronize(events_[1]), "wait for an event");
    auto milliseconds = 0.f;
    qlora::cuda::check(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "elapsed time");
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  void record(cudaEvent_t event) {
    qlora::cuda::check(cudaEventRecord(event, stream_), "mark an event");
  }
  cudaStream_t stream_;
  cudaEvent_t events_[2] = {};
};
#endif

/// Runs `body` as often as the benchmark asks. Where a backend queues work, an iteration takes the
/// time between the two places in its stream.
template <class B, class Body>
void measure(benchmark::State& state, [[maybe_unused]] B& backend, Body&& body) {
  if constexpr (B::asynchronous) {
#if defined(__CUDACC__)
    body();  // makes plans, takes memory
    auto timer = StreamTimer{backend.stream()};
    for (auto _ : state) {
      timer.start();
      body();
      state.SetIterationTime(timer.stop());
    }
#endif
  } else {
    for (auto _ : state) body();
  }
}

/// Memory of the device that is taken, by whomever.
inline std::size_t device_bytes_taken() {
#if defined(__CUDACC__)
  auto free = std::size_t{0};
  auto total = std::size_t{0};
  qlora::cuda::check(cudaMemGetInfo(&free, &total), "device memory");
  return total - free;
#else
  return 0;
#endif
}

/// Tells a benchmark which clock counts on a backend.
template <class B>
benchmark::internal::Benchmark* with_clock_of(benchmark::internal::Benchmark* bench) {
  return B::asynchronous ? bench->UseManualTime() : bench->UseRealTime();
}

}  // namespace bench
