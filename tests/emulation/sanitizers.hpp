/// Tells AddressSanitizer and ThreadSanitizer, where they are switched on, which fiber runs.
#pragma once

#include <atomic>
#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATION_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define EMULATION_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define EMULATION_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define EMULATION_TSAN 1
#endif

#if defined(EMULATION_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMULATION_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulation {

/// What was written before release() is seen after acquire().
struct Synchronization {
  void release() {
#if defined(EMULATION_TSAN)
    __tsan_release(this);
#endif
  }
  void acquire() {
#if defined(EMULATION_TSAN)
    __tsan_acquire(this);
#endif
  }
  char address = 0;
};

/// Calls around each switch: enter and left by the scheduler, entered and leave by the fiber. Those
/// before a switch are inlined, because ThreadSanitizer counts calls and returns for each fiber.
class SanitizerFiber {
 public:
  SanitizerFiber() = default;
  SanitizerFiber(SanitizerFiber const&) = delete;
  SanitizerFiber& operator=(SanitizerFiber const&) = delete;
#if defined(EMULATION_TSAN)
  ~SanitizerFiber() {
    __tsan_destroy_fiber(own_);
  }
#else
  ~SanitizerFiber() = default;
#endif

  [[gnu::always_inline]] void enter([[maybe_unused]] void const* stack,
                                    [[maybe_unused]] std::size_t bytes) {
#if defined(EMULATION_ASAN)
    __sanitizer_start_switch_fiber(&scheduler_stack_, stack, bytes);
#endif
#if defined(EMULATION_TSAN)
    scheduler_.store(__tsan_get_current_fiber(), std::memory_order_relaxed);
    __tsan_switch_to_fiber(own_, __tsan_switch_to_fiber_no_sync);
#endif
  }
  void left() {
#if defined(EMULATION_ASAN)
    __sanitizer_finish_switch_fiber(scheduler_stack_, nullptr, nullptr);
#endif
    published_.acquire();
  }
  void entered() {
#if defined(EMULATION_ASAN)
    __sanitizer_finish_switch_fiber(own_stack_, &bottom_, &bytes_);
#endif
  }
  [[gnu::always_inline]] void leave() {
#if defined(EMULATION_TSAN)
    auto* const scheduler = scheduler_.load(std::memory_order_relaxed);
#endif
    published_.release();
#if defined(EMULATION_ASAN)
    __sanitizer_start_switch_fiber(&own_stack_, bottom_, bytes_);
#endif
#if defined(EMULATION_TSAN)
    __tsan_switch_to_fiber(scheduler, __tsan_switch_to_fiber_no_sync);
#endif
  }

 private:
  Synchronization published_;  ///< what the fiber did until it left
#if defined(EMULATION_ASAN)
  void* scheduler_stack_ = nullptr;
  void* own_stack_ = nullptr;
  void const* bottom_ = nullptr;
  std::size_t bytes_ = 0;
#endif
#if defined(EMULATION_TSAN)
  void* own_ = __tsan_create_fiber(0);
  std::atomic<void*> scheduler_ = nullptr;
#endif
};

}  // namespace emulation
