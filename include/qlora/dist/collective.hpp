/// What ranks do together, made of exchanges. Every rank calls the same functions in the same
/// order, with the same sizes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

#include <qlora/core/memory.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/dist/communicator.hpp>

namespace qlora::inline v1::dist {

/// Numbers first, first + 1, ... of `size`, `count` of them, that a rank sees to: all but equally
/// many for each.
struct Part {
  Index first, count;
};
inline Part part_of(Index size, int rank, int ranks) {
  auto const first = size * rank / ranks;
  return {first, size * (rank + 1) / ranks - first};
}

/// The collective operations of a communicator. Holds what they need of memory, and must not
/// outlive it.
template <Communicator C>
class Collective {
 public:
  explicit Collective(C& communicator)
      : communicator_{communicator},
        to_(static_cast<std::size_t>(communicator.size())),
        from_(to_.size()) {}

  int rank() const { return communicator_.rank(); }
  int size() const { return communicator_.size(); }

  /// values += those of the other ranks. Each rank adds up a share of them, in the order of ranks,
  /// and gives the others the sums (of a few numbers, each adds up all): twice the bytes of
  /// `values` travel to and from a rank whatever their number (Thakur et al., IJHPCA 19:49, 2005),
  /// and the bits depend on that number alone. A communicator that reaches where they lie may bring
  /// a `sum` of its own.
  template <class T, Space S>
  void sum(Vector<T, S> values) {
    if (size() == 1) return;
    if constexpr (requires { communicator_.sum(values); }) return communicator_.sum(values);
    auto const stored = on_host(values);
    auto const on_this_side = Vector<T>{stored};
    sum_on_host(std::span{on_this_side.data(), static_cast<std::size_t>(on_this_side.size())});
    if constexpr (S != Space::host) transfer(on_this_side, values);
  }

  /// All ranks' elements, one rank's after the other's: `counts` of them, of which `own` are this
  /// rank's.
  template <class T>
  std::vector<T> gather(std::span<T const> own, std::span<std::size_t const> counts) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto total = std::size_t{0};
    for (auto const count : counts) total += count;
    auto all = std::vector<T>(total);
    auto begin = std::size_t{0};
    for (auto r = 0; r < size(); ++r) {
      auto const part = std::span{all}.subspan(begin, counts[static_cast<std::size_t>(r)]);
      if (r == rank()) std::ranges::copy(own, part.begin());
      give(r, own);
      take(r, part);
      begin += part.size();
    }
    exchange();
    return all;
  }

  /// What each rank has of it, in their order.
  template <class T>
  std::vector<T> each(T const& own) {
    auto const counts = std::vector<std::size_t>(to_.size(), 1);
    return gather(std::span<T const>{&own, 1}, std::span<std::size_t const>{counts});
  }

  /// Whether it is so on any rank.
  bool any(bool here) {
    if (size() == 1) return here;
    auto const all = each(static_cast<char>(here));
    return std::ranges::count(all, char{0}) < std::ssize(all);
  }

  /// Returns when every rank has come here.
  void wait() { any(false); }

 private:
  template <class T>
  void give(int rank, std::span<T> values) {
    to_[static_cast<std::size_t>(rank)] = std::as_bytes(values);
  }
  template <class T>
  void take(int rank, std::span<T> values) {
    from_[static_cast<std::size_t>(rank)] = std::as_writable_bytes(values);
  }
  void exchange() { communicator_.exchange(to_, from_); }

  /// Numbers that are sent to all faster than twice to some.
  static constexpr std::size_t few = 64;

  template <class T>
  void sum_few(std::span<T> values) {
    auto const counts = std::vector<std::size_t>(to_.size(), values.size());
    auto const all = gather(std::span<T const>{values}, std::span<std::size_t const>{counts});
    for (auto i = std::size_t{0}; i < values.size(); ++i) {
      values[i] = all[i];
      for (auto r = std::size_t{1}; r < to_.size(); ++r) values[i] += all[r * values.size() + i];
    }
  }

  template <class T>
  void sum_on_host(std::span<T> values) {
    if (values.size() < few) return sum_few(values);
    auto const part = [&](int r) {
      auto const [first, count] = part_of(std::ssize(values), r, size());
      return values.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    };
    auto const own = part(rank());
    auto received = std::vector<T>(own.size() * to_.size());
    auto const of_rank = [&](int r) {
      return std::span{received}.subspan(own.size() * static_cast<std::size_t>(r), own.size());
    };
    for (auto r = 0; r < size(); ++r) {
      give(r, part(r));
      take(r, of_rank(r));
    }
    exchange();
    std::ranges::copy(own, of_rank(rank()).begin());
    std::ranges::copy(of_rank(0), own.begin());
    for (auto r = 1; r < size(); ++r) {
      std::ranges::transform(own, of_rank(r), own.begin(), std::plus<>{});
    }
    for (auto r = 0; r < size(); ++r) {
      give(r, own);
      take(r, part(r));
    }
    exchange();
  }

  C& communicator_;
  std::vector<Sent> to_;        // each rank, of the exchange that comes next
  std::vector<Received> from_;  // likewise
};

}  // namespace qlora::inline v1::dist
