/// A rank that is stopped, or whose machine is gone, does not answer, and the others would wait for
/// it for ever: each rank tells the next one, again and again, that it is there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stop_token>
#include <thread>

#include <mpi.h>

#include <qlora/dist/deadline.hpp>

namespace qlora::inline v1::dist {

/// A thread that sends beats to the rank after this one, the last one's being 0, and hears those of
/// the rank before. Destroyed, it waits until that one's is, too.
class Heartbeat {
 public:
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

 private:
  using Clock = std::chrono::steady_clock;

  /// What a rank tells the next one. They stay where they are while a message is on its way.
  static constexpr char there = 1, gone = 0;

  void run(std::stop_token const& stop) {
    auto const interval = patience_ / 10;
    constexpr auto last_interval = std::chrono::milliseconds{1};
    auto lock = std::unique_lock{mutex_};
    auto last_heard = Clock::now();
    auto last_look = last_heard;
    auto incoming = there;  // MPI's while a message may come
    MPI_Request receiving = MPI_REQUEST_NULL, sending = MPI_REQUEST_NULL;
    auto has_left = false;
    listen(incoming, receiving);
    while (receiving != MPI_REQUEST_NULL || sending != MPI_REQUEST_NULL || !has_left) {
      auto const now = Clock::now();
      // Not even this process has run meanwhile: its silence says nothing of the other's.
      if (now - last_look > 2 * interval) last_heard = now;
      last_look = now;
      if (is_done(sending) && !has_left) {
        has_left = stop.stop_requested();
        MPI_Isend(has_left ? &gone : &there, 1, MPI_CHAR, next_, 0, beats_, &sending);
      }
      while (receiving != MPI_REQUEST_NULL && is_done(receiving)) {
        last_heard = now;
        if (incoming != gone) listen(incoming, receiving);
      }
      if (receiving != MPI_REQUEST_NULL && now - last_heard > patience_) give_up();
      if (stop.stop_requested()) {
        std::this_thread::sleep_for(last_interval);
      } else {
        stopped_.wait_for(lock, stop, interval, [] { return false; });
      }
    }
  }

  void listen(char& incoming, MPI_Request& receiving) const {
    MPI_Irecv(&incoming, 1, MPI_CHAR, previous_, 0, beats_, &receiving);
  }
  static bool is_done(MPI_Request& request) {
    auto done = 0;
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    return done != 0;
  }
  [[noreturn]] void give_up() const {
    std::fprintf(stderr, "rank %d has not been heard of for %g s: all ranks end\n", previous_,
                 patience_.count());
    [[maybe_unused]] auto const deadline =
        Deadline{std::chrono::seconds{5}, "MPI has not ended all ranks"};
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();  // which MPI_Abort does not return to
  }

  int next_, previous_;
  std::chrono::duration<double> patience_;
  MPI_Comm beats_ = MPI_COMM_NULL;
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::jthread thread_;
};

}  // namespace qlora::inline v1::dist
