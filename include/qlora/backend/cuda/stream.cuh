/// Streams, events, and the one function that starts kernels.
#pragma once

#include <array>
#include <string>
#include <tuple>
#include <utility>

#include <qlora/backend/cuda/recording.cuh>
#include <qlora/backend/cuda/runtime.cuh>

namespace qlora::inline v1::cuda {

class Event;

/// A queue of work on the current device; move-only. While a recording watches it, the recording
/// decides what is queued.
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
  /// Lets what is queued from now on wait for an event.
  void wait(Event const& event) const;

  void watch(Recording* recording) { recording_ = recording; }
  /// Null when nothing watches.
  Recording* recording() const { return recording_; }
  /// Whether a library is to be asked for what `what` describes; see Recording.
  template <class What>
  bool wants(What const& what) const {
    return recording_ == nullptr || recording_->wants_call(what);
  }
  bool wants_order() const { return recording_ == nullptr || recording_->wants_order(); }

 private:
  cudaStream_t stream_ = nullptr;
  Recording* recording_ = nullptr;
};

/// A place in a stream that can be waited for; move-only.
class Event {
 public:
  /// Whether times between events are asked for.
  enum class Timing { off, on };

  explicit Event(Timing timing = Timing::off) {
    auto const flags = timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming;
    check(cudaEventCreateWithFlags(&event_, flags), "new event");
  }
  Event(Event&& other) noexcept : event_{std::exchange(other.event_, nullptr)} {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  operator cudaEvent_t() const { return event_; }  // NOLINT(google-explicit-constructor)
  void record(Stream const& stream) const {
    if (stream.wants_order()) check(cudaEventRecord(event_, stream), "mark an event");
  }
  /// Waits for what was in the stream when the event was recorded. Throws SystemError if any of it
  /// failed.
  void synchronize() const { check(cudaEventSynchronize(event_), "wait for an event"); }
  /// Waits for this event; both are timed.
  float milliseconds_since(Event const& earlier) const {
    synchronize();
    auto milliseconds = 0.f;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "time between events");
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

inline void Stream::wait(Event const& event) const {
  if (wants_order()) check(cudaStreamWaitEvent(stream_, event, 0), "order of two streams");
}

/// Starts `kernel` on `grid` blocks of `block` threads. Throws SystemError if that is impossible;
/// errors while it runs surface when its stream is waited for.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Stream const& stream,
            Arguments const&... arguments) {
  auto values = std::tuple<Parameters...>{arguments...};
  auto pointers = std::apply(
      [](auto&... value) {
        return std::array<void*, sizeof...(Parameters)>{static_cast<void*>(&value)...};
      },
      values);
  // NOLINTNEXTLINE(bugprone-sizeof-expression): a pointer is an argument by itself
  constexpr auto sizes = std::array<std::size_t, sizeof...(Parameters)>{sizeof(Parameters)...};
  auto const call = KernelCall{reinterpret_cast<void const*>(kernel), grid, block, pointers, sizes};
  auto* const recording = stream.recording();
  if (recording != nullptr && !recording->wants(call)) return;
  auto const status = cudaLaunchKernel(kernel, grid, block, pointers.data(), 0, stream);
  if (status != cudaSuccess) {
    check(status, "launch of " + std::to_string(grid.x) + " blocks of " + std::to_string(block.x) +
                      " threads");
  }
  if (recording != nullptr) recording->started(call, stream);
}

}  // namespace qlora::inline v1::cuda
