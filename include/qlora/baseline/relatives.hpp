/// Which proteins of a set are probably relatives of another: those that share short words.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace qlora::inline v1::baseline {

/// An index of words of five residues, four bytes a residue beside one entry a word. The sequences
/// are not copied: who adds them keeps them where they are.
class Relatives {
 public:
  static constexpr std::size_t word = 5;

  /// Sequences are numbered as they come, from 0.
  void add(std::string_view sequence) {
    for_each_word(sequence, [&](std::string_view letters) {
      auto& list = index_[letters];
      if (list.empty() || list.back() != size_) list.push_back(size_);
    });
    ++size_;
  }

  /// Numbers of at most `count` sequences that share most words with this one, most first, of those
  /// that `is_wanted(number)`.
  template <class IsWanted>
  std::vector<std::uint32_t> of(std::string_view sequence, std::size_t count,
                                IsWanted&& is_wanted) const {
    auto shared = std::unordered_map<std::uint32_t, std::size_t>{};
    for_each_word(sequence, [&](std::string_view letters) {
      auto const found = index_.find(letters);
      if (found == index_.end()) return;
      for (auto const number : found->second) ++shared[number];
    });
    auto ranked = std::vector<std::pair<std::size_t, std::uint32_t>>{};
    for (auto const& [number, words] : shared) {
      if (is_wanted(number)) ranked.emplace_back(words, number);
    }
    auto const more = [](auto const& a, auto const& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    };
    auto const kept = std::min(count, ranked.size());
    std::ranges::partial_sort(ranked, ranked.begin() + static_cast<std::ptrdiff_t>(kept), more);
    auto numbers = std::vector<std::uint32_t>{};
    for (auto i = std::size_t{0}; i < kept; ++i) numbers.push_back(ranked[i].second);
    return numbers;
  }
  std::vector<std::uint32_t> of(std::string_view sequence, std::size_t count) const {
    return of(sequence, count, [](std::uint32_t) { return true; });
  }

 private:
  template <class Body>
  static void for_each_word(std::string_view sequence, Body&& body) {
    for (auto i = std::size_t{0}; i + word <= sequence.size(); ++i) body(sequence.substr(i, word));
  }

  std::unordered_map<std::string_view, std::vector<std::uint32_t>> index_;
  std::uint32_t size_ = 0;
};

}  // namespace qlora::inline v1::baseline
