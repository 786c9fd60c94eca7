/// A rank that is stopped, or whose machine is gone, does not answer, and one that hangs never
/// comes to where the others wait for it: each rank tells the next one, again and again, that it is
/// there and how long its work has kept a processor busy.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include <mpi.h>
#include <pthread.h>

#include <qlora/dist/deadline.hpp>

namespace qlora::inline v1::dist {

/// Ends every rank, with that exit status.
[[noreturn]] inline void end_all_ranks(int status) {
  [[maybe_unused]] auto const deadline =
      Deadline{std::chrono::seconds{5}, "MPI has not ended all ranks", status};
  MPI_Abort(MPI_COMM_WORLD, status);
  std::abort();  // which MPI_Abort does not return to
}

/// A thread that sends beats to the rank after this one, the last one's being 0, and hears those of
/// the rank before. Destroyed, it waits until that one's is, too.
///
/// A thread whose processor time stands still is blocked, by a file system say. One that computes
/// is at work, however long it takes, and so is one that waits for other ranks, which looks for
/// them again and again.
class Heartbeat {
 public:
  /// Made by the thread that works. A rank that is not heard of for so long, or whose work stands
  /// still for so long while this one waits, ends all.
  Heartbeat(int rank, int size, std::chrono::duration<double> patience)
      : next_{(rank + 1) % size}, previous_{(rank + size - 1) % size}, patience_{patience} {
    if (size == 1) return;
    MPI_Comm_dup(MPI_COMM_WORLD, &beats_);
    thread_ = std::jthread{[this](std::stop_token const& stop) { run(stop); }};
  }
  Heartbeat(Heartbeat const&) = delete;
  Heartbeat& operator=(Heartbeat const&) = delete;
  ~Heartbeat() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
    MPI_Comm_free(&beats_);
  }

  /// Whether this rank waits for others.
  void waits(bool waits) { waits_.store(waits, std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  /// What a rank tells the next one, if it has no processor time to tell.
  static constexpr auto gone = std::int64_t{-1};

  static clockid_t clock_of_this_thread() {
#if defined(__linux__)
    auto clock = clockid_t{};
    if (::pthread_getcpuclockid(::pthread_self(), &clock) == 0) return clock;
#endif
    return CLOCK_PROCESS_CPUTIME_ID;  // never stands still, so that no work is found to hang
  }
  /// Nanoseconds of a processor.
  std::int64_t work() const {
    auto time = timespec{};
    ::clock_gettime(clock_, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  }

  void run(std::stop_token const& stop) {
    auto const interval = patience_ / 10;
    constexpr auto last_interval = std::chrono::milliseconds{1};
    auto lock = std::unique_lock{mutex_};
    auto last_heard = Clock::now();
    auto last_worked = last_heard;
    auto last_look = last_heard;
    auto incoming = std::int64_t{0}, outgoing = std::int64_t{0};  // MPI's while on their way
    auto work_of_previous = std::int64_t{0};
    MPI_Request receiving = MPI_REQUEST_NULL, sending = MPI_REQUEST_NULL;
    auto has_left = false;
    listen(incoming, receiving);
    while (receiving != MPI_REQUEST_NULL || sending != MPI_REQUEST_NULL || !has_left) {
      auto const now = Clock::now();
      // Not even this process has run meanwhile: its silence says nothing of the other's.
      if (now - last_look > 2 * interval) last_heard = last_worked = now;
      last_look = now;
      if (is_done(sending) && !has_left) {
        has_left = stop.stop_requested();
        outgoing = has_left ? gone : work();
        MPI_Isend(&outgoing, 1, MPI_INT64_T, next_, 0, beats_, &sending);
      }
      while (receiving != MPI_REQUEST_NULL && is_done(receiving)) {
        last_heard = now;
        if (std::exchange(work_of_previous, incoming) != incoming) last_worked = now;
        if (incoming != gone) listen(incoming, receiving);
      }
      if (!waits_.load(std::memory_order_relaxed)) last_worked = now;
      if (receiving != MPI_REQUEST_NULL) {
        if (now - last_heard > patience_) give_up("not been heard of");
        if (now - last_worked > patience_) give_up("been blocked");
      }
      if (stop.stop_requested()) {
        std::this_thread::sleep_for(last_interval);
      } else {
        stopped_.wait_for(lock, stop, interval, [] { return false; });
      }
    }
  }

  void listen(std::int64_t& incoming, MPI_Request& receiving) const {
    MPI_Irecv(&incoming, 1, MPI_INT64_T, previous_, 0, beats_, &receiving);
  }
  static bool is_done(MPI_Request& request) {
    auto done = 0;
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    return done != 0;
  }
  [[noreturn]] void give_up(char const* what) const {
    std::fprintf(stderr, "rank %d has %s for %g s: all ranks end\n", previous_, what,
                 patience_.count());
    end_all_ranks(1);
  }

  int next_, previous_;
  std::chrono::duration<double> patience_;
  clockid_t clock_ = clock_of_this_thread();
  std::atomic<bool> waits_ = false;
  MPI_Comm beats_ = MPI_COMM_NULL;
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::jthread thread_;
};

}  // namespace qlora::inline v1::dist
