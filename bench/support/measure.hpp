/// How long work takes on any backend.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <qlora/core/peak_memory.hpp>

#if defined(__CUDACC__)
#include <qlora/backend/cuda/stream.cuh>
#endif

namespace bench {

/// Runs `body` as often as the benchmark asks. Where a backend queues work, an iteration takes the
/// time between two places in its stream, `queued` times `body` apart: the first of several waits
/// for the host to queue it, the others do not.
template <class B, class Body>
void measure(benchmark::State& state, [[maybe_unused]] B& backend, Body&& body,
             [[maybe_unused]] int queued = 1) {
  if constexpr (B::asynchronous) {
#if defined(__CUDACC__)
    body();  // makes plans, takes memory
    using qlora::cuda::Event;
    auto const begin = Event{Event::Timing::on};
    auto const end = Event{Event::Timing::on};
    for (auto _ : state) {
      begin.record(backend.stream());
      for (auto i = 0; i < queued; ++i) body();
      end.record(backend.stream());
      auto const milliseconds = static_cast<double>(end.milliseconds_since(begin));
      state.SetIterationTime(milliseconds * 1e-3 / queued);
    }
#endif
  } else {
    for (auto _ : state) body();
  }
}

/// Seconds of one call of `body`, the least of several.
template <class B, class Body>
double least_seconds([[maybe_unused]] B& backend, Body&& body) {
  constexpr auto repeats = 5;
  auto least = std::numeric_limits<double>::infinity();
  body();  // makes plans, takes memory
  for (auto i = 0; i < repeats; ++i) {
    auto const start = std::chrono::steady_clock::now();
    body();
#if defined(__CUDACC__)
    if constexpr (B::asynchronous) {
      qlora::cuda::check(cudaStreamSynchronize(backend.stream()), "benchmark");
    }
#endif
    auto const elapsed = std::chrono::steady_clock::now() - start;
    least = std::min(least, std::chrono::duration<double>(elapsed).count());
  }
  return least;
}

/// What the process takes of the host while this lives.
class HostUse {
 public:
  HostUse() { qlora::reset_peak_memory(); }

  /// Of what is resident, what was there before included.
  static double peak_bytes() { return static_cast<double>(qlora::peak_memory_bytes()); }
  /// Pages that were touched first, or given back and touched again.
  double page_faults() const { return static_cast<double>(so_far() - before_); }

 private:
  static long so_far() {
    auto usage = rusage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  }

  long before_ = so_far();
};

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
