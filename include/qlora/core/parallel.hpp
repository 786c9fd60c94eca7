/// Threads: one loop. Work is cut by the caller into pieces that do not depend on the number of
/// threads, so results do not either.
#pragma once

#include <algorithm>

#include <qlora/core/memory.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/thread_pool.hpp>

namespace qlora::inline v1 {

/// Threads that loops use: ThreadPool::default_threads() at first.
inline int& thread_count() {
  static int count = ThreadPool::default_threads();
  return count;
}

/// Calls `body(piece, worker)` for every piece in [0, pieces); calls begin in order, so that large
/// pieces belong first, and end in any. `worker` is below `thread_count()` and no two calls with
/// the same worker overlap, so it may select scratch memory. The first exception is rethrown when
/// no call is running any more.
template <class Body>
void parallel_for(Index pieces, Body const& body) {
  // The body's type is hidden, so that a program has the loop's code once.
  ThreadPool::instance().run(pieces, thread_count(), &body,
                             [](void const* hidden, Index piece, int worker) {
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
  parallel_for(ceil_div(rows, tile), [&](Index piece, int worker) {
    auto const first = piece * tile;
    body(Rows{first, std::min(tile, rows - first)}, worker);
  });
}

}  // namespace qlora::inline v1
