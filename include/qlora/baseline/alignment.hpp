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
#include <qlora/data/protein.hpp>

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

/// How a cell was reached: two bits for the best, one for each kind of gap that was extended.
enum Way : std::uint8_t {
  stop = 0,
  diagonal = 1,
  up = 2,
  left = 3,
  up_extended = 4,
  left_extended = 8
};

/// A cell of the matrix of scores, from 1 on: there is an empty row and column before.
struct Cell {
  int score = 0;
  std::size_t row = 0, column = 0;
};

/// The matrix of scores, a row of which is there at a time: gaps cost 11 for the first residue and
/// 1 for each further one.
class ScoreRows {
 public:
  explicit ScoreRows(std::string_view b)
      : b_{b}, scores_(b.size() + 1, 0), gaps_up_(b.size() + 1, never) {}

  /// Goes on to the row of residue `a`, whose best cell it returns; `ways` (b's length + 1) are
  /// those of the row.
  Cell next(char a, std::uint8_t* ways) {
    auto best = Cell{.score = 0, .row = ++row_};
    auto corner = 0;  // of the row above, one to the left
    auto gap_left = never;
    ways[0] = stop;
    for (auto j = std::size_t{1}; j < scores_.size(); ++j) {
      auto way = std::uint8_t{stop};
      if (gaps_up_[j] - extend > scores_[j] - open) way |= up_extended;
      gaps_up_[j] = std::max(gaps_up_[j] - extend, scores_[j] - open);
      if (gap_left - extend > scores_[j - 1] - open) way |= left_extended;
      gap_left = std::max(gap_left - extend, scores_[j - 1] - open);
      auto const match = corner + similarity(a, b_[j - 1]);
      auto const score = std::max({0, match, gaps_up_[j], gap_left});
      if (score > 0) way |= score == match ? diagonal : score == gaps_up_[j] ? up : left;
      ways[j] = way;
      corner = std::exchange(scores_[j], score);
      if (score > best.score) {
        best.score = score;
        best.column = j;
      }
    }
    return best;
  }

 private:
  static constexpr int open = 11;
  static constexpr int extend = 1;
  static constexpr int never = -1'000'000;

  std::string_view b_;
  std::vector<int> scores_, gaps_up_;  // of the row above, then of this one
  std::size_t row_ = 0;
};

/// Ways of all cells, of which a block of rows is there at a time; others are computed again from
/// the row above them, of which there is a copy.
class Ways {
 public:
  Ways(std::string_view a, std::string_view b, std::size_t rows_of_block)
      : a_{a}, columns_{b.size() + 1}, rows_of_block_{rows_of_block} {
    ways_.resize(std::min(rows_of_block, a.size()) * columns_);
    auto rows = ScoreRows{b};
    for (auto i = std::size_t{0}; i < a.size(); ++i) {
      if (i % rows_of_block == 0) above_.push_back(rows);
      auto const found = rows.next(a[i], &ways_[i % rows_of_block * columns_]);
      if (found.score > best_.score) best_ = found;
    }
  }

  Cell const& best() const { return best_; }

  /// At a cell that is not in a block below the last one that was asked for.
  std::uint8_t at(std::size_t row, std::size_t column) {
    auto const block = (row - 1) / rows_of_block_;
    if (block + 1 < above_.size()) {
      above_.erase(above_.begin() + static_cast<std::ptrdiff_t>(block) + 1, above_.end());
      auto rows = above_.back();
      for (auto i = std::size_t{0}; i < rows_of_block_; ++i) {
        rows.next(a_[block * rows_of_block_ + i], &ways_[i * columns_]);
      }
    }
    return ways_[(row - 1) % rows_of_block_ * columns_ + column];
  }

 private:
  std::string_view a_;
  std::size_t columns_, rows_of_block_;
  std::vector<ScoreRows> above_;    // each block up to the one that is there
  std::vector<std::uint8_t> ways_;  // (rows of a block, columns)
  Cell best_;
};

inline Alignment align(std::string_view a, std::string_view b, std::size_t rows_of_block) {
  auto ways = Ways{a, b, rows_of_block};
  auto [score, i, j] = ways.best();
  auto alignment = Alignment{.score = score, .pairs = {}};
  auto state = std::uint8_t{stop};  // of the gap that is being followed
  while (i > 0 && j > 0) {
    auto const way = ways.at(i, j);
    auto const step = state != stop ? state : static_cast<std::uint8_t>(way & 3);
    if (step == stop) break;
    if (step == diagonal) {
      alignment.pairs.emplace_back(--i, --j);
      state = stop;
    } else if (step == up) {
      state = (way & up_extended) != 0 ? up : stop;
      --i;
    } else {
      state = (way & left_extended) != 0 ? left : stop;
      --j;
    }
  }
  std::ranges::reverse(alignment.pairs);
  return alignment;
}

}  // namespace detail

/// The best local alignment (Smith and Waterman, JMB 147, 1981; Gotoh, JMB 162, 1982), gaps costing
/// as in BLAST. Takes a byte a cell, up to 16 MiB, and for longer ones 6 bytes x length x the root
/// of a length.
inline Alignment align(std::string_view a, std::string_view b) {
  if (a.size() * b.size() <= std::size_t{1} << 24) {
    return detail::align(a, b, std::max(a.size(), std::size_t{1}));
  }
  constexpr auto copied = 2. * sizeof(int);  // bytes a cell: as many as the ways of a block
  return detail::align(
      a, b, static_cast<std::size_t>(std::sqrt(copied * static_cast<double>(a.size()))) + 1);
}

/// Residues of a protein that is aligned, at most: more than the longest that is known.
inline constexpr std::size_t longest_aligned = 50'000;

/// The same of proteins. Throws InputError, naming it, for one of more than `longest_aligned`.
inline Alignment align(Protein const& a, Protein const& b) {
  for (auto const* const protein : {&a, &b}) {
    if (protein->sequence.size() <= longest_aligned) continue;
    throw InputError{printable(protein->id) + ": expected at most " +
                     std::to_string(longest_aligned) + " residues of a protein that is aligned, " +
                     "found " + std::to_string(protein->sequence.size())};
  }
  return align(std::string_view{a.sequence}, std::string_view{b.sequence});
}

}  // namespace qlora::inline v1::baseline
