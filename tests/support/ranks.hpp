/// Ranks that are threads of a test: a communicator as anybody may write one.
#pragma once

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <span>
#include <thread>
#include <vector>

#include <qlora/dist/communicator.hpp>

namespace qlora {

class Ranks {
 public:
  class Member {
   public:
    Member(Ranks& ranks, int rank) : ranks_{ranks}, rank_{rank} {}
    int rank() const { return rank_; }
    int size() const { return static_cast<int>(ranks_.sent_.size()); }
    void exchange(std::span<dist::Sent const> to, std::span<dist::Received const> from) {
      auto const own = static_cast<std::size_t>(rank_);
      ranks_.sent_[own] = to;
      ranks_.barrier_.arrive_and_wait();
      for (auto r = std::size_t{0}; r < from.size(); ++r) {
        if (r != own) std::ranges::copy(ranks_.sent_[r][own], from[r].begin());
      }
      ranks_.barrier_.arrive_and_wait();  // until then what is sent has to stay
    }

   private:
    Ranks& ranks_;
    int rank_;
  };

  explicit Ranks(int size) : sent_(static_cast<std::size_t>(size)), barrier_{size} {}

  /// Calls `body(member)` on a thread for each rank, and waits for all. None may throw: the others
  /// would wait for it.
  template <class Body>
  void run(Body&& body) {
    auto threads = std::vector<std::jthread>{};
    for (auto r = 0; r < static_cast<int>(sent_.size()); ++r) {
      threads.emplace_back([&, r] {
        auto member = Member{*this, r};
        body(member);
      });
    }
  }

 private:
  std::vector<std::span<dist::Sent const>> sent_;  // by each rank, in the exchange that goes on
  std::barrier<> barrier_;
};

}  // namespace qlora
