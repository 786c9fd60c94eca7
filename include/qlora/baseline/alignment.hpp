/// Local alignment of two proteins.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

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

}  // namespace detail

/// The best local alignment (Smith and Waterman, JMB 147, 1981; Gotoh, JMB 162, 1982), gaps costing
/// 11 for the first residue and 1 for each further one, as in BLAST. Takes length x length bytes.
inline Alignment align(std::string_view a, std::string_view b) {
  constexpr auto open = 11;
  constexpr auto extend = 1;
  constexpr auto never = -1'000'000;
  // How a cell was reached: two bits for the best, one for each kind of gap that was extended.
  enum : std::uint8_t {
    stop = 0,
    diagonal = 1,
    up = 2,
    left = 3,
    up_extended = 4,
    left_extended = 8
  };
  auto const columns = b.size() + 1;
  auto trace = std::vector<std::uint8_t>((a.size() + 1) * columns, stop);
  auto best_of_row = std::vector<int>(columns, 0);  // of the row above, then of this one
  auto gap_up = std::vector<int>(columns, never);
  auto best = 0;
  auto end = std::pair<std::size_t, std::size_t>{0, 0};
  for (auto i = std::size_t{1}; i <= a.size(); ++i) {
    auto corner = 0;  // of the row above, one to the left
    auto gap_left = never;
    for (auto j = std::size_t{1}; j < columns; ++j) {
      auto& way = trace[i * columns + j];
      if (gap_up[j] - extend > best_of_row[j] - open) way |= up_extended;
      gap_up[j] = std::max(gap_up[j] - extend, best_of_row[j] - open);
      if (gap_left - extend > best_of_row[j - 1] - open) way |= left_extended;
      gap_left = std::max(gap_left - extend, best_of_row[j - 1] - open);
      auto const match = corner + detail::similarity(a[i - 1], b[j - 1]);
      auto const score = std::max({0, match, gap_up[j], gap_left});
      if (score > 0) {
        way |= score == match ? diagonal : score == gap_up[j] ? up : left;
      }
      corner = std::exchange(best_of_row[j], score);
      if (score > best) {
        best = score;
        end = {i, j};
      }
    }
  }

  auto alignment = Alignment{.score = best, .pairs = {}};
  auto [i, j] = end;
  auto state = std::uint8_t{0};  // of the gap that is being followed, or 0
  while (i > 0 && j > 0) {
    auto const way = trace[i * columns + j];
    auto const step = state != 0 ? state : static_cast<std::uint8_t>(way & 3);
    if (step == stop) break;
    if (step == diagonal) {
      alignment.pairs.emplace_back(--i, --j);
      state = 0;
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

}  // namespace qlora::inline v1::baseline
