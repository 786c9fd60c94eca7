/// Ranks that mpirun or srun started. Link qlora::mpi.
#pragma once

#if !defined(QLORA_HAS_MPI)
#error "qlora/dist/mpi.hpp needs MPI: link qlora::mpi, which CMake finds where there is one"
#endif

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <mpi.h>

#include <qlora/core/error.hpp>
#include <qlora/dist/communicator.hpp>
#include <qlora/dist/deadline.hpp>
#include <qlora/dist/heartbeat.hpp>

namespace qlora::inline v1::dist {

/// MPI for as long as this lives; there is one in the life of a process. Where it ends by an
/// exception, the other ranks are ended too. One that is caught while this lives leaves them
/// waiting: let it out, or call abort().
class Mpi {
 public:
  /// Made by the thread that is to work. A rank of which nothing was heard for so long, or that has
  /// been blocked for so long while another waits for it, ends all. Throws SystemError for an MPI
  /// that does not support threads.
  explicit Mpi(std::chrono::duration<double> patience = std::chrono::seconds{30})
      : patience_{patience} {
    auto const deadline = Deadline{patience, "not all ranks have started"};
    auto provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_dup(MPI_COMM_WORLD, &messages_);
    for (auto& place : places_) MPI_Comm_dup(MPI_COMM_WORLD, &place.ranks);
    MPI_Comm_rank(messages_, &rank_);
    MPI_Comm_size(messages_, &size_);
    MPI_Comm neighbours;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &neighbours);
    MPI_Comm_rank(neighbours, &local_rank_);
    MPI_Comm_size(neighbours, &local_size_);
    MPI_Comm_free(&neighbours);
    if (provided < MPI_THREAD_MULTIPLE) {
      MPI_Finalize();
      throw SystemError{"MPI: expected support of threads (MPI_THREAD_MULTIPLE), found none"};
    }
    heartbeat_ = std::make_unique<Heartbeat>(rank_, size_, patience);
  }
  Mpi(Mpi const&) = delete;
  Mpi& operator=(Mpi const&) = delete;
  ~Mpi() {
    if (std::uncaught_exceptions() > exceptions_) abort(1);
    // With everybody's heart beating: the first may have much left to do.
    meet(Meeting::at_end, never);
    leave(Meeting::on_the_way);
    heartbeat_.reset();
    auto const deadline = Deadline{patience_, "not all ranks have ended", status_};
    MPI_Finalize();
  }

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Among the ranks of this machine.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }

  /// What this process is to end with where MPI cannot end though all ranks have come to their end.
  void will_end(int status) { status_ = status; }
  /// Ends every rank, with that exit status.
  [[noreturn]] static void abort(int status) { end_all_ranks(status); }

  /// Where ranks may wait for each other: those at one place are not met by those at another.
  enum class Meeting { on_the_way, after_error, at_end };

  /// Waits until all ranks have come there, or `is_enough()`; whether they have. Where they have
  /// not, the next call waits for the same ones.
  template <class IsEnough>
  bool meet(Meeting where, IsEnough&& is_enough) {
    auto& [ranks, request, times] = places_[static_cast<std::size_t>(where)];
    if (request.empty()) {
      MPI_Ibarrier(ranks, &request.emplace_back());
      ++times;
    }
    if (!wait(request, is_enough)) return false;
    request.clear();
    return true;
  }

  /// See Communicator.
  void exchange(std::span<Sent const> to, std::span<Received const> from) {
    for (auto const& bytes : to) expect_countable(bytes.size());
    for (auto const& bytes : from) expect_countable(bytes.size());
    auto requests = std::vector<MPI_Request>{};
    requests.reserve(2 * to.size());
    for (auto r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      auto const other = static_cast<std::size_t>(r);
      MPI_Irecv(from[other].data(), static_cast<int>(from[other].size()), MPI_BYTE, r, 0, messages_,
                &requests.emplace_back());
      MPI_Isend(to[other].data(), static_cast<int>(to[other].size()), MPI_BYTE, r, 0, messages_,
                &requests.emplace_back());
    }
    wait(requests, never);
  }

 private:
  static bool never() { return false; }

  /// Comes to where others have given up waiting, for MPI wants every request to be completed.
  void leave(Meeting where) {
    auto const& place = places_[static_cast<std::size_t>(where)];
    auto most = place.times;
    MPI_Allreduce(&place.times, &most, 1, MPI_LONG_LONG, MPI_MAX, messages_);
    while (place.times < most || !place.request.empty()) meet(where, never);
  }

  /// MPI counts in int.
  static void expect_countable(std::size_t bytes) {
    if (bytes <= std::numeric_limits<int>::max()) return;
    throw SystemError{"MPI: expected messages of less than 2 GiB, found one of " +
                      std::to_string(bytes) + " bytes"};
  }

  /// Whether all are done before it is enough. MPI's own waiting burns a core, which ranks that
  /// share a machine do not have to spare.
  template <class IsEnough>
  bool wait(std::vector<MPI_Request>& requests, IsEnough&& is_enough) {
    using Clock = std::chrono::steady_clock;
    constexpr auto nap = std::chrono::microseconds{50};
    // A nap takes twice its time. Who looked for less would nap, too, while the other does, and
    // both would in turn at every exchange from then on.
    constexpr auto looking = 8 * nap;
    auto const start = Clock::now();
    auto done = 0;
    heartbeat_->waits(true);
    while (done == 0) {
      if (Clock::now() - start > looking) {
        if (is_enough()) break;
        std::this_thread::sleep_for(nap);
      }
      MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    }
    heartbeat_->waits(false);
    return done != 0;
  }

  std::chrono::duration<double> patience_;
  MPI_Comm messages_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  struct Place {
    MPI_Comm ranks = MPI_COMM_NULL;
    std::vector<MPI_Request> request;  // where this rank has come and others have not
    long long times = 0;               // that it has come
  };
  std::array<Place, 3> places_;  // by Meeting
  int status_ = 0;
  int exceptions_ = std::uncaught_exceptions();
  std::unique_ptr<Heartbeat> heartbeat_;
};

}  // namespace qlora::inline v1::dist
