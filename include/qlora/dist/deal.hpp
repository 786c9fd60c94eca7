/// Work of known cost, dealt to ranks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace qlora::inline v1::dist {

/// The rank that each piece of work goes to: the dearest first, each to the rank that has least so
/// far, which takes at most 4/3 of the shortest time that there is (Graham, SIAM J. Appl. Math.
/// 17:416, 1969). The same on every rank.
inline std::vector<int> deal(std::span<double const> costs, int ranks) {
  auto order = std::vector<std::size_t>(costs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{-costs[i], i}; });
  auto loads = std::vector<double>(static_cast<std::size_t>(ranks));
  auto rank_of = std::vector<int>(costs.size());
  for (auto const i : order) {
    auto const least = std::ranges::min_element(loads);
    *least += costs[i];
    rank_of[i] = static_cast<int>(least - loads.begin());
  }
  return rank_of;
}

}  // namespace qlora::inline v1::dist
