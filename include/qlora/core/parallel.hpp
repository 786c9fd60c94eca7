/// Threads: one loop. Work is cut by the caller into pieces that do not depend on the number of
/// threads, so results do not either. OpenMP where the compiler has it switched on, else
/// sequential. (Inside such a loop oneDNN, which uses OpenMP as well, runs on the calling thread
/// alone.)
#pragma once

#include <algorithm>
#include <exception>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <qlora/core/memory.hpp>

namespace qlora::inline v1 {

/// Threads that loops use: the machine's by default.
inline int& thread_count() {
#if defined(_OPENMP)
  static int count = omp_get_max_threads();
#else
  static int count = 1;
#endif
  return count;
}

namespace detail {

/// The loop below for a body whose type is hidden, so that a program has this code once.
inline void run_pieces(Index pieces, void const* body,
                       void (*call)(void const* body, Index piece, int worker)) {
#if defined(_OPENMP)
  auto failure = std::exception_ptr{};
#pragma omp parallel for schedule(dynamic, 1) num_threads(thread_count())
  for (Index piece = 0; piece < pieces; ++piece) {
    try {
      call(body, piece, omp_get_thread_num());
    } catch (...) {
#pragma omp critical(qlora_parallel_for)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
#else
  for (Index piece = 0; piece < pieces; ++piece) call(body, piece, 0);
#endif
}

}  // namespace detail

/// Calls `body(piece, worker)` for every piece in [0, pieces), in no particular order; `worker` is
/// below `thread_count()` and no two calls with the same worker overlap, so it may select scratch
/// memory. The first exception is rethrown when no call is running any more.
template <class Body>
void parallel_for(Index pieces, Body const& body) {
  detail::run_pieces(pieces, &body, [](void const* hidden, Index piece, int worker) {
    (*static_cast<Body const*>(hidden))(piece, worker);
  });
}

/// A range [first, first + count) of rows.
struct Rows {
  Index first;
  Index count;
};

/// Calls `body(rows, worker)` for consecutive tiles of at most `tile` rows that cover [0, rows).
template <class Body>
void parallel_rows(Index rows, Index tile, Body const& body) {
  parallel_for((rows + tile - 1) / tile, [&](Index piece, int worker) {
    auto const first = piece * tile;
    body(Rows{first, std::min(tile, rows - first)}, worker);
  });
}

}  // namespace qlora::inline v1
