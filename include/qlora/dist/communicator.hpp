/// Processes that work together: what each of them is to the others.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

namespace qlora::inline v1::dist {

using Sent = std::span<std::byte const>;
using Received = std::span<std::byte>;

/// A group of processes of which this is one: rank 0, 1, ... of `size()`. All call `exchange`
/// equally often, each giving every rank what it wants: to[r] goes to rank r, whose bytes for this
/// one arrive in from[r]; both are of size() entries, those of the rank itself are left alone, and
/// what one sends is as long as the other expects.
///
/// That is all a policy has to bring: sums and the like are made of it in dist/collective.hpp.
template <class C>
concept Communicator = requires(C& communicator, std::span<Sent const> to,
                                std::span<Received const> from) {
  { communicator.rank() } -> std::same_as<int>;
  { communicator.size() } -> std::same_as<int>;
  communicator.exchange(to, from);
};

/// One process alone.
struct Self {
  static constexpr int rank() { return 0; }
  static constexpr int size() { return 1; }
  static constexpr void exchange(std::span<Sent const>, std::span<Received const>) {}
};

}  // namespace qlora::inline v1::dist
