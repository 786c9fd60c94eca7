/// Disjoint sets: union by size, with path halving (Tarjan, "Efficiency of a good but not linear
/// set union algorithm", 1975).
#pragma once

#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace qlora::inline v1 {

/// Sets of the numbers 0 ... count - 1, each in one of its own at first.
class DisjointSets {
 public:
  explicit DisjointSets(std::size_t count) : parent_(count), size_(count, 1) {
    std::iota(parent_.begin(), parent_.end(), std::size_t{0});
  }

  /// The number that stands for the set of `member`.
  std::size_t find(std::size_t member) {
    while (parent_[member] != member) member = parent_[member] = parent_[parent_[member]];
    return member;
  }

  void join(std::size_t a, std::size_t b) {
    a = find(a);
    b = find(b);
    if (a == b) return;
    if (size_[a] < size_[b]) std::swap(a, b);
    parent_[b] = a;
    size_[a] += size_[b];
  }

 private:
  std::vector<std::size_t> parent_;
  std::vector<std::size_t> size_;  ///< of the sets of those that stand for one
};

}  // namespace qlora::inline v1
