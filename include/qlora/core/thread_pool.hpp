/// Threads that share the pieces of one loop at a time. Whoever starts a loop takes part in it, and
/// waits for those alone that have joined it: a helper for which the machine has no time is not
/// missed, so that beside other processes a loop costs no more than on one thread. (Teams of OpenMP
/// wait for every member, and by default burn the very time that it lacks.)
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

#include <qlora/core/memory.hpp>

namespace qlora::inline v1 {

class ThreadPool {
 public:
  using Call = void (*)(void const* body, Index piece, int worker);
  static constexpr int most_threads = 1024;

  /// The one of this program. It is never destroyed: its threads end with the process.
  static ThreadPool& instance() {
    static auto& pool = *new ThreadPool;
    return pool;
  }

  /// As many threads as this process may use of the machine's, or as OMP_NUM_THREADS says, the name
  /// by which users and schedulers limit them.
  static int default_threads() {
    auto const* const wanted = std::getenv("OMP_NUM_THREADS");  // NOLINT(concurrency-mt-unsafe)
    auto const limit = wanted == nullptr ? 0 : std::atoi(wanted);
    return std::clamp(limit > 0 ? limit : usable_threads(), 1, most_threads);
  }

  /// Calls `call(body, piece, worker)` for every piece in [0, pieces) on up to `threads` threads:
  /// the caller, worker 0, and helpers. A loop that is started within another, or beside another
  /// thread's, runs on its caller alone, under the number that it has. The first exception is
  /// rethrown when no call is running any more.
  void run(Index pieces, int threads, void const* body, Call call) {
    auto helpers = static_cast<int>(std::min<Index>({pieces, threads, most_threads})) - 1;
    auto const alone = helpers < 1 || current_worker != nobody;
    auto const lock =
        alone ? std::unique_lock<std::mutex>{} : std::unique_lock{mutex_, std::try_to_lock};
    if (!lock.owns_lock()) {
      for (auto piece = Index{0}; piece < pieces; ++piece)
        call(body, piece, std::max(current_worker, 0));
      return;
    }
    try {
      for (; helpers_ < helpers; ++helpers_) {
        std::thread{[this, worker = helpers_ + 1] { help(worker); }}.detach();
      }
    } catch (std::system_error const&) {
      helpers = helpers_;  // the system gives no more: those that there are do the work
    }
    pieces_ = pieces;
    body_ = body;
    call_ = call;
    next_.store(0, std::memory_order_relaxed);
    state_.store(open | static_cast<unsigned>(helpers) * one_allowed, std::memory_order_release);
    loops_.fetch_add(1, std::memory_order_release);
    loops_.notify_all();
    work(0);
    state_.fetch_and(~open, std::memory_order_relaxed);
    await([&](unsigned state) { return state / one_inside % most_threads == 0; }, state_);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  static int usable_threads() {
#if defined(__linux__)
    auto set = cpu_set_t{};  // which launchers bind processes by
    if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return static_cast<int>(std::thread::hardware_concurrency());
  }

  // What `state_` says: whether the loop may be joined, by the workers up to which number, and how
  // many of them are inside.
  static constexpr auto open = 1u;
  static constexpr auto one_inside = 2u;
  static constexpr auto one_allowed = one_inside * most_threads;

  /// Looks so often before it sleeps; a few ten microseconds, longer than between two loops.
  static constexpr int patience = 1000;

  /// Waits until `is_done(word)`, whose changes are notified.
  template <class IsDone>
  static unsigned await(IsDone&& is_done, std::atomic<unsigned>& word) {
    for (auto looks = 0;; ++looks) {
      auto const value = word.load(std::memory_order_acquire);
      if (is_done(value)) return value;
      if (looks < patience) {
        relax();
      } else {
        word.wait(value, std::memory_order_acquire);
      }
    }
  }
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  [[noreturn]] void help(int worker) {
    for (auto seen = 0u;;) {
      seen = await([&](unsigned loops) { return loops != seen; }, loops_);
      if (!join(static_cast<unsigned>(worker))) continue;
      work(worker);
      auto const before = state_.fetch_sub(one_inside, std::memory_order_release);
      if ((before & open) == 0) state_.notify_one();
    }
  }
  bool join(unsigned worker) {
    auto state = state_.load(std::memory_order_relaxed);
    while ((state & open) != 0 && worker <= state / one_allowed) {
      if (state_.compare_exchange_weak(state, state + one_inside, std::memory_order_acquire)) {
        return true;
      }
    }
    return false;
  }

  void work(int worker) {
    current_worker = worker;
    for (;;) {
      auto const piece = next_.fetch_add(1, std::memory_order_relaxed);
      if (piece >= pieces_) break;
      try {
        call_(body_, piece, worker);
      } catch (...) {
        auto const lock = std::scoped_lock{failure_mutex_};
        if (!failure_) failure_ = std::current_exception();
      }
    }
    current_worker = nobody;
  }

  static constexpr auto nobody = -1;
  static inline thread_local int current_worker = nobody;  ///< this thread's, within a loop

  std::mutex mutex_;  ///< held by whoever runs a loop; guards what follows up to next_
  int helpers_ = 0;
  Index pieces_ = 0;
  void const* body_ = nullptr;
  Call call_ = nullptr;
  std::atomic<Index> next_ = 0;  ///< piece
  std::atomic<unsigned> state_ = 0;
  std::atomic<unsigned> loops_ = 0;  ///< started so far
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace qlora::inline v1
