/// Runs a kernel on the CPU, one block after the other. The threads of a block are fibers of one
/// system thread. Between two barriers they run one by one in a shuffled order, in which a missing
/// barrier shows. A barrier that some threads cannot reach is reported with the places where
/// threads wait. Shared memory is a heap block of exact size full of NaN: AddressSanitizer sees
/// overruns, and results show what was read before it was written. Under ThreadSanitizer fibers are
/// ordered by barriers alone, so that it reports races within a block by line.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <boost/context/detail/fcontext.hpp>

#include "emulation/sanitizers.hpp"

namespace emulation {

/// A kernel did what no order of its threads makes right.
struct Error : std::logic_error {
  using std::logic_error::logic_error;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  unsigned count() const { return x * y * z; }
};

enum class Waiting { nothing, for_block, for_lanes, finished };

/// A copy that a thread has begun: it is made when the thread waits for it, and not before.
struct Copy {
  void* to;
  std::size_t size;
  std::array<std::byte, 16> bytes;
};

/// One thread of a block. The scheduler reads what is atomic while the fiber stands still.
struct Fiber {
  static constexpr std::size_t stack_bytes = std::size_t{128} * 1024;

  std::unique_ptr<std::byte[]> stack{new std::byte[stack_bytes]};
  boost::context::detail::fcontext_t self{};       ///< where to go on; the scheduler's
  boost::context::detail::fcontext_t scheduler{};  ///< where to go back to; the fiber's
  SanitizerFiber sanitizer;
  dim3 thread{0, 0, 0};
  unsigned rank = 0;  ///< linear index in its block
  std::atomic<Waiting> waiting = Waiting::nothing;
  std::atomic<unsigned> lanes = 0;  ///< that it waits for
  std::atomic<char const*> file = "";
  std::atomic<unsigned> line = 0;
  std::array<std::byte, 32> shown{};  ///< what other lanes may read of a shuffle or a product
  std::vector<Copy> copies;           ///< begun, and not yet waited for
  std::exception_ptr failure;
};

/// One launch at a time.
struct Machine {
  dim3 grid, block, block_index;
  std::uint64_t seed = 1;                      ///< of the order in which threads run
  std::vector<std::unique_ptr<Fiber>> fibers;  ///< kept from launch to launch; may be too many
  std::atomic<Fiber*> running = nullptr;
  std::function<void()> body;
  Synchronization block_token;                  ///< orders what lies on two sides of a barrier
  std::array<Synchronization, 32> warp_tokens;  ///< the same within each warp
  std::atomic<std::byte*> shared = nullptr;
  std::size_t shared_bytes = 0, shared_alignment = 1;
};

inline Machine& machine() {
  static Machine machine;
  return machine;
}

inline Fiber& this_fiber() {
  return *machine().running.load(std::memory_order_relaxed);
}
inline unsigned lane() {
  return this_fiber().rank % 32;
}

/// Back to the scheduler, until it resumes this fiber.
inline void stand_still(Fiber& me) {
  auto const scheduler = me.scheduler;
  me.sanitizer.leave();
  me.scheduler = boost::context::detail::jump_fcontext(scheduler, nullptr).fctx;
  me.sanitizer.entered();
}

/// Waits until all threads of the block, or these lanes of the warp, wait at the same place.
inline void wait(Waiting waiting, unsigned lanes, std::source_location at) {
  auto& me = this_fiber();
  me.file.store(at.file_name(), std::memory_order_relaxed);
  me.line.store(at.line(), std::memory_order_relaxed);
  me.lanes.store(lanes, std::memory_order_relaxed);
  me.waiting.store(waiting, std::memory_order_relaxed);
  auto& token =
      waiting == Waiting::for_block ? machine().block_token : machine().warp_tokens[me.rank / 32];
  token.release();
  stand_still(me);
  token.acquire();
}

/// What `read(shown)` makes of the values that all `lanes` of the warp give: `shown(lane)`.
template <class T, class Read>
auto exchange_all(unsigned lanes, T value, std::source_location at, Read&& read) {
  static_assert(sizeof(T) <= sizeof(Fiber::shown));
  auto& me = this_fiber();
  std::memcpy(me.shown.data(), static_cast<void const*>(&value), sizeof value);
  wait(Waiting::for_lanes, lanes, at);
  auto const result = read([&](unsigned lane) {
    auto other = T{};
    std::memcpy(static_cast<void*>(&other),
                machine().fibers[me.rank / 32 * 32 + lane]->shown.data(), sizeof other);
    return other;
  });
  wait(Waiting::for_lanes, lanes, at);
  return result;
}

/// The value of lane `source`, after all `lanes` have given theirs.
template <class T>
T exchange(unsigned lanes, T value, unsigned source, std::source_location at) {
  if ((lanes >> source & 1u) == 0) {
    throw Error{std::string{at.file_name()} + ":" + std::to_string(at.line()) + ": lane " +
                std::to_string(lane()) + " asks lane " + std::to_string(source) +
                ", which takes no part"};
  }
  return exchange_all(lanes, value, at, [&](auto const& shown) { return shown(source); });
}

/// The block's shared memory. Throws Error for a second struct of another size.
template <class S>
S& shared_storage() {
  auto& all = machine();
  auto* data = all.shared.load(std::memory_order_acquire);
  if (data == nullptr) {
    data = static_cast<std::byte*>(::operator new (sizeof(S), std::align_val_t{alignof(S)}));
    std::memset(data, 0xff, sizeof(S));
    all.shared_bytes = sizeof(S);
    all.shared_alignment = alignof(S);
    all.shared.store(data, std::memory_order_release);
  }
  if (all.shared_bytes != sizeof(S)) throw Error{"a kernel has one struct of shared memory"};
  return *reinterpret_cast<S*>(data);
}

namespace detail {

/// A fiber's life: the kernel, once for each block.
inline void live(boost::context::detail::transfer_t transfer) {
  auto& me = *static_cast<Fiber*>(transfer.data);
  me.scheduler = transfer.fctx;
  me.sanitizer.entered();
  for (;;) {
    machine().block_token.acquire();
    me.copies.clear();  // that a block before did not wait for
    try {
      machine().body();
    } catch (...) {
      me.failure = std::current_exception();
    }
    me.waiting.store(Waiting::finished, std::memory_order_relaxed);
    stand_still(me);
  }
}

inline std::unique_ptr<Fiber> new_fiber(unsigned rank) {
  auto fiber = std::make_unique<Fiber>();
  fiber->rank = rank;
  fiber->self = boost::context::detail::make_fcontext(fiber->stack.get() + Fiber::stack_bytes,
                                                      Fiber::stack_bytes, live);
  return fiber;
}

inline void resume(Fiber& fiber) {
  machine().running.store(&fiber, std::memory_order_relaxed);
  auto const self = fiber.self;
  fiber.sanitizer.enter(fiber.stack.get(), Fiber::stack_bytes);
  fiber.self = boost::context::detail::jump_fcontext(self, &fiber).fctx;
  fiber.sanitizer.left();
  if (fiber.failure) std::rethrow_exception(std::exchange(fiber.failure, nullptr));
}

inline std::string describe(Fiber const& fiber) {
  auto const name = "thread " + std::to_string(fiber.rank);
  if (fiber.waiting == Waiting::finished) return name + " has returned";
  return name + " waits at " + fiber.file.load() + ":" + std::to_string(fiber.line);
}

inline bool same_place(Fiber const& a, Fiber const& b) {
  return a.waiting == b.waiting && a.lanes == b.lanes && a.line == b.line &&
         (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

/// Whoever keeps this fiber waiting, or null.
inline Fiber const* missing(Fiber const& fiber) {
  auto const& fibers = machine().fibers;
  auto const whole_block = fiber.waiting == Waiting::for_block;
  auto const first = whole_block ? 0u : fiber.rank / 32 * 32;
  auto const threads = machine().block.count();
  auto const last = whole_block ? threads : first + 32;
  for (auto rank = first; rank < last; ++rank) {
    if (!whole_block && (fiber.lanes >> (rank - first) & 1u) == 0) continue;
    if (rank >= threads) {
      throw Error{describe(fiber) + ", for lane " + std::to_string(rank - first) +
                  ", which the block does not have"};
    }
    if (!same_place(*fibers[rank], fiber)) return fibers[rank].get();
  }
  return nullptr;
}

/// Fibers that need not wait any longer; none when all have finished. Throws Error when the others
/// wait for ever.
inline std::vector<Fiber*> released() {
  auto free = std::vector<Fiber*>{};
  auto stuck = std::string{};
  Fiber const* neighbour = nullptr;
  Fiber const* other = nullptr;
  for (auto rank = 0u; rank < machine().block.count(); ++rank) {
    auto const& fiber = machine().fibers[rank];
    if (fiber->waiting == Waiting::finished) continue;
    // Those who wait together wait for the same others.
    auto const together =
        neighbour != nullptr && same_place(*neighbour, *fiber) &&
        (fiber->waiting == Waiting::for_block || rank / 32 == neighbour->rank / 32);
    if (!together) other = missing(*fiber);
    neighbour = fiber.get();
    if (other == nullptr) {
      free.push_back(fiber.get());
    } else if (stuck.empty()) {
      stuck = describe(*fiber) + ", but " + describe(*other);
    }
  }
  if (free.empty() && !stuck.empty()) throw Error{"divergent barrier: " + stuck};
  return free;
}

struct FreeShared {
  ~FreeShared() {
    auto& all = machine();
    auto* const data = all.shared.exchange(nullptr);
    if (data != nullptr) ::operator delete (data, std::align_val_t{all.shared_alignment});
  }
};

inline void run_block(std::mt19937_64& random) {
  auto const free_shared = FreeShared{};
  auto ready = std::vector<Fiber*>{};
  for (auto rank = 0u; rank < machine().block.count(); ++rank) {
    ready.push_back(machine().fibers[rank].get());
  }
  machine().block_token.release();
  while (!ready.empty()) {
    std::ranges::shuffle(ready, random);
    for (auto* const fiber : ready) resume(*fiber);
    ready = released();
  }
}

}  // namespace detail

/// Runs `body` as every thread of every block. What a thread throws comes out.
inline void run(dim3 grid, dim3 block, std::function<void()> body) {
  auto& all = machine();
  if (block.count() == 0 || block.count() > 1024 || grid.count() == 0) {
    throw Error{"expected 1 to 1024 threads in each of at least one block, got " +
                std::to_string(block.count()) + " in " + std::to_string(grid.count())};
  }
  all.grid = grid;
  all.block = block;
  all.body = std::move(body);
  for (auto rank = 0u; rank < block.count(); ++rank) {
    if (rank == all.fibers.size()) all.fibers.push_back(detail::new_fiber(rank));
    all.fibers[rank]->thread = {rank % block.x, rank / block.x % block.y, rank / block.x / block.y};
  }
  auto random = std::mt19937_64{all.seed};
  try {
    for (auto i = 0u; i < grid.count(); ++i) {
      all.block_index = {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
      detail::run_block(random);
    }
  } catch (...) {
    all.fibers.clear();  // some stand in the middle of the kernel
    throw;
  }
}

}  // namespace emulation
