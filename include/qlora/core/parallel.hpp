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

/// Calls `body(piece, worker)` for every piece in [0, pieces), in no particular order; `worker` is
/// below `thread_count()` and no two calls with the same worker overlap, so it may select scratch
/// memory. The first exception is rethrown when no call is running any more.
template <class Body>
void parallel_for(Index pieces, Body&& body) {
#if defined(_OPENMP)
  auto failure = std::exception_ptr{};
#pragma omp parallel for schedule(dynamic, 1) num_threads(thread_count())
  for (Index piece = 0; piece < pieces; ++piece) {
    try {
      body(piece, omp_get_thread_num());
    } catch (...) {
#pragma omp critical(qlora_parallel_for)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
#else
  for (Index piece = 0; piece < pieces; ++piece) body(piece, 0);
#endif
}

/// A range [first, first + count) of rows.
struct Rows {
  Index first;
  Index count;
};

/// Calls `body(rows, worker)` for consecutive tiles of at most `tile` rows that cover [0, rows).
template <class Body>
void parallel_rows(Index rows, Index tile, Body&& body) {
  parallel_for((rows + tile - 1) / tile, [&](Index piece, int worker) {
    auto const first = piece * tile;
    body(Rows{first, std::min(tile, rows - first)}, worker);
  });
}

}  // namespace qlora::inline v1
