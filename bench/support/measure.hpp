/// How long work takes on any backend.
#pragma once

#include <cstddef>

#include <benchmark/benchmark.h>

#if defined(__CUDACC__)
#include <qlora/backend/cuda/stream.cuh>
#endif

namespace bench {

/// Runs `body` as often as the benchmark asks. Where a backend queues work, an iteration takes the
/// time between the two places in its stream.
template <class B, class Body>
void measure(benchmark::State& state, [[maybe_unused]] B& backend, Body&& body) {
  if constexpr (B::asynchronous) {
#if defined(__CUDACC__)
    body();  // makes plans, takes memory
    using qlora::cuda::Event;
    auto const begin = Event{Event::Timing::on};
    auto const end = Event{Event::Timing::on};
    for (auto _ : state) {
      begin.record(backend.stream());
      body();
      end.record(backend.stream());
      state.SetIterationTime(static_cast<double>(end.milliseconds_since(begin)) * 1e-3);
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
