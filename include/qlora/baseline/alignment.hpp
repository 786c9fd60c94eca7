/// Local alignment of two proteins.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>

namespace qlora::inline v1::baseline {

/// Pairs of positions (in a, in b) that an alignment puts together, in order, and its score.
struct Alignment {
  int score = 0;
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
};

/// How many pairs of an alignment of these two are of one residue.
inline std::size_t identical(Alignment const& alignment, std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::count_if(
      alignment.pairs, [&](auto const& pair) { return a[pair.first] == b[pair.second]; }));
}

namespace detail {

/// BLOSUM62 (Henikoff and Henikoff, PNAS 89, 1992), in half bits, for these letters.
inline constexpr std::string_view blosum_letters = "ARNDCQEGHILKMFPSTWYV";
inline constexpr std::int8_t blosum62[20][20] = {
    {4, -1, -2, -2, 0, -1, -1, 0, -2, -1, -1, -1, -1, -2, -1, 1, 0, -3, -2, 0},
    {-1, 5, 0, -2, -3, 1, 0, -2, 0, -3, -2, 2, -1, -3, -2, -1, -1, -3, -2, -3},
    {-2, 0, 6, 1, -3, 0, 0, 0, 1, -3, -3, 0, -2, -3, -2, 1, 0, -4, -2, -3},
    {-2, -2, 1, 6, -3, 0, 2, -1, -1, -3, -4, -1, -3, -3, -1, 0, -1, -4, -3, -3},
    {0, -3, -3, -3, 9, -3, -4, -3, -3, -1, -1, -3, -1, -2, -3, -1, -1, -2, -2, -1},
    {-1, 1, 0, 0, -3, 5, 2, -2, 0, -3, -2, 1, 0, -3, -1, 0, -1, -2, -1, -2},
    {-1, 0, 0, 2, -4, 2, 5, -2, 0, -3, -3, 1, -2, -3, -1, 0, -1, -3, -2, -2},
    {0, -2, 0, -1, -3, -2, -2, 6, -2, -4, -4, -2, -3, -3, -2, 0, -2, -2, -3, -3},
    {-2, 0, 1, -1, -3, 0, 0, -2, 8, -3, -3, -1, -2, -1, -2, -1, -2, -2, 2, -3},
    {-1, -3, -3, -3, -1, -3, -3, -4, -3, 4, 2, -3, 1, 0, -3, -2, -1, -3, -1, 3},
    {-1, -2, -3, -4, -1, -2, -3, -4, -3, 2, 4, -2, 2, 0, -3, -2, -1, -2, -1, 1},
    {-1, 2, 0, -1, -3, 1, 1, -2, -1, -3, -2, 5, -1, -3, -1, 0, -1, -3, -2, -2},
    {-1, -1, -2, -3, -1, 0, -2, -3, -2, 1, 2, -1, 5, 0, -2, -1, -1, -1, -1, 1},
    {-2, -3, -3, -3, -2, -3, -3, -3, -1, 0, 0, -3, 0, 6, -4, -2, -2, 1, 3, -1},
    {-1, -2, -2, -1, -3, -1, -1, -2, -2, -3, -3, -1, -2, -4, 7, -1, -1, -4, -3, -2},
    {1, -1, 1, 0, -1, 0, 0, 0, -1, -2, -2, 0, -1, -2, -1, 4, 1, -3, -2, -2},
    {0, -1, 0, -1, -1, -1, -1, -2, -2, -1, -1, -1, -1, -2, -1, 1, 5, -2, -2, 0},
    {-3, -3, -4, -4, -2, -2, -3, -2, -2, -3, -2, -3, -1, 1, -4, -3, -2, 11, 2, -3},
    {-2, -2, -2, -3, -2, -1, -2, -3, 2, -1, -1, -2, -1, 3, -3, -2, -2, 2, 7, -1},
    {0, -3, -3, -3, -1, -2, -2, -3, -3, 3, 1, -2, 1, -1, -2, -2, 0, -3, -1, 4}};

/// A row of blosum62, or 20 for a letter that it has not.
inline constexpr auto blosum_rows = [] {
  auto rows = std::array<std::uint8_t, 256>{};
  rows.fill(20);
  for (auto i = std::size_t{0}; i < blosum_letters.size(); ++i) {
    rows[static_cast<unsigned char>(blosum_letters[i])] = static_cast<std::uint8_t>(i);
  }
  return rows;
}();

constexpr int similarity(char a, char b) {
  auto const row = blosum_rows[static_cast<unsigned char>(a)];
  auto const column = blosum_rows[static_cast<unsigned char>(b)];
  return row < 20 && column < 20 ? blosum62[row][column] : -1;
}

/// The rows of the matrix of scores, of which one at a time is there: gaps cost 11 for the first
/// residue and 1 for each further one.
class ScoreRows {
 public:
  /// How a cell was reached: two bits for the best, one for each kind of gap that was extended.
  enum Way : std::uint8_t {
    stop = 0,
    diagonal = 1,
    up = 2,
    left = 3,
    up_extended = 4,
    left_extended = 8
  };
  struct Best {
    int score = 0;
    std::size_t column = 0;  ///< the first that has it
  };

  explicit ScoreRows(std::string_view b)
      : b_{b}, scores_(b.size() + 1, 0), gaps_up_(b.size() + 1, never) {}

  /// Goes on to the row of residue `a`. `ways` (b's length + 1), if any, gets its cells'.
  Best next(char a, std::uint8_t* ways) {
    auto best = Best{};
    auto corner = 0;  // of the row above, one to the left
    auto gap_left = never;
    if (ways != nullptr) ways[0] = stop;
    for (auto j = std::size_t{1}; j < scores_.size(); ++j) {
      auto way = std::uint8_t{stop};
      if (gaps_up_[j] - extend > scores_[j] - open) way |= up_extended;
      gaps_up_[j] = std::max(gaps_up_[j] - extend, scores_[j] - open);
      if (gap_left - extend > scores_[j - 1] - open) way |= left_extended;
      gap_left = std::max(gap_left - extend, scores_[j - 1] - open);
      auto const match = corner + similarity(a, b_[j - 1]);
      auto const score = std::max({0, match, gaps_up_[j], gap_left});
      if (score > 0) way |= score == match ? diagonal : score == gaps_up_[j] ? up : left;
      if (ways != nullptr) ways[j] = way;
      corner = std::exchange(scores_[j], score);
      if (score > best.score) best = {score, j};
    }
    return best;
  }

 private:
  static constexpr int open = 11;
  static constexpr int extend = 1;
  static constexpr int never = -1'000'000;

  std::string_view b_;
  std::vector<int> scores_, gaps_up_;  // of the row above, then of this one
};

/// Ways of all cells, of which a block of rows at a time is there; others are computed again from
/// the rows above them, of which there are copies.
class Ways {
 public:
  Ways(std::string_view a, std::string_view b)
      : a_{a}, columns_{b.size() + 1}, block_{rows_of_block(a.size(), columns_)}, rows_{b} {}

  /// The best cell, from 1 on; its score is 0 where there is none.
  std::pair<int, std::pair<std::size_t, std::size_t>> find_best() {
    auto best = 0;
    auto end = std::pair<std::size_t, std::size_t>{0, 0};
    auto rows = rows_;
    ways_.resize(block_ * columns_);
    for (auto i = std::size_t{0}; i < a_.size(); ++i) {
      if (i % block_ == 0) above_.push_back(rows);
      auto const found = rows.next(a_[i], &ways_[i % block_ * columns_]);
      if (found.score > best) {
        best = found.score;
        end = {i + 1, found.column};
      }
    }
    present_ = above_.empty() ? 0 : above_.size() - 1;
    return {best, end};
  }

  std::uint8_t of(std::size_t i, std::size_t j) {
    auto const wanted = (i - 1) / block_;
    if (wanted != present_) {
      present_ = wanted;
      auto rows = above_[wanted];
      auto const first = wanted * block_;
      for (auto row = first; row < std::min(first + block_, a_.size()); ++row) {
        rows.next(a_[row], &ways_[(row - first) * columns_]);
      }
    }
    return ways_[(i - 1) % block_ * columns_ + j];
  }

 private:
  /// All while they take no more than 16 MiB, else such that copies and ways take alike.
  static std::size_t rows_of_block(std::size_t rows, std::size_t columns) {
    if (rows * columns <= std::size_t{1} << 24) return std::max(rows, std::size_t{1});
    constexpr auto bytes_of_copy = 2. * sizeof(int);  // of a cell
    return static_cast<std::size_t>(std::sqrt(bytes_of_copy * static_cast<double>(rows)));
  }

  std::string_view a_;
  std::size_t columns_, block_;
  ScoreRows rows_;
  std::vector<ScoreRows> above_;    // each block
  std::vector<std::uint8_t> ways_;  // (block, columns)
  std::size_t present_ = 0;
};

}  // namespace detail

/// Residues that an alignment takes at most: more than the longest protein of man has.
inline constexpr std::size_t longest_aligned = 40'000;

/// The best local alignment (Smith and Waterman, JMB 147, 1981; Gotoh, JMB 162, 1982), gaps costing
/// as in BLAST. Takes 16 MiB, or 6 bytes x length x the root of a length. Throws InputError for
/// more than `longest_aligned` residues.
inline Alignment align(std::string_view a, std::string_view b) {
  if (auto const longest = std::max(a.size(), b.size()); longest > longest_aligned) {
    throw InputError{"alignment: expected proteins of at most " + std::to_string(longest_aligned) +
                     " residues, found one of " + std::to_string(longest)};
  }
  using Step = detail::ScoreRows;
  auto ways = detail::Ways{a, b};
  auto const [score, end] = ways.find_best();
  auto alignment = Alignment{.score = score, .pairs = {}};
  auto [i, j] = end;
  auto state = std::uint8_t{0};  // of the gap that is being followed, or 0
  while (i > 0 && j > 0) {
    auto const way = ways.of(i, j);
    auto const step = state != 0 ? state : static_cast<std::uint8_t>(way & 3);
    if (step == Step::stop) break;
    if (step == Step::diagonal) {
      alignment.pairs.emplace_back(--i, --j);
      state = 0;
    } else if (step == Step::up) {
      state = (way & Step::up_extended) != 0 ? Step::up : Step::stop;
      --i;
    } else {
      state = (way & Step::left_extended) != 0 ? Step::left : Step::stop;
      --j;
    }
  }
  std::ranges::reverse(alignment.pairs);
  return alignment;
}

}  // namespace qlora::inline v1::baseline
