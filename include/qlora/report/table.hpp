/// Tables of results: aligned text for terminals, Markdown, CSV and TSV.
///
///     auto table = Table{{{"arm", Align::left}, {"f1"}, {"seconds", Align::right, 1}}};
///     table.add({"qkv", 0.1894, 31.2}).add({"all", 0.1985, 40});
///     std::cout << table.text();
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/report/terminal.hpp>

namespace qlora::inline v1::report {

enum class Align { left, right };

struct Column {
  std::string header;
  Align align = Align::right;
  int precision = 4;  ///< decimals of floating-point cells in text and Markdown
};

/// Text, a whole number, or a real number.
class Cell {
 public:
  Cell(std::string text, Style style = Style::plain) : value_{std::move(text)}, style_{style} {}
  Cell(char const* text) : value_{std::string{text}} {}
  Cell(std::string_view text) : value_{std::string{text}} {}
  Cell(std::floating_point auto number) : value_{static_cast<double>(number)} {}
  Cell(std::integral auto number) : value_{static_cast<std::int64_t>(number)} {}

  Style style() const { return style_; }
  /// With so many decimals.
  std::string rounded(int precision) const {
    return spell([&](char* begin, char* end, double x) {
      return std::to_chars(begin, end, x, std::chars_format::fixed, precision);
    });
  }
  /// With as many digits as it takes to read the same number back.
  std::string exact() const {
    return spell([](char* begin, char* end, double x) { return std::to_chars(begin, end, x); });
  }

 private:
  std::string spell(auto to_chars) const {
    if (auto const* text = std::get_if<std::string>(&value_)) return *text;
    if (auto const* whole = std::get_if<std::int64_t>(&value_)) return std::to_string(*whole);
    auto const real = std::get<double>(value_);
    if (std::isnan(real)) return "nan";
    char digits[400];  // the largest double has 309 before the point
    return {digits, to_chars(digits, digits + sizeof digits, real).ptr};
  }

  std::variant<std::string, std::int64_t, double> value_;
  Style style_ = Style::plain;
};

class Table {
  using Grid = std::vector<std::vector<std::string>>;  // rows of cells

 public:
  explicit Table(std::vector<Column> columns) : columns_{std::move(columns)} {}

  bool empty() const { return rows_.empty(); }
  /// Appends a row. Throws ShapeError if it has not one cell for each column.
  Table& add(std::vector<Cell> row) {
    if (row.size() != columns_.size())
      throw ShapeError("table row " + std::to_string(rows_.size() + 1) + ": expected " +
                       std::to_string(columns_.size()) + " cells, found " +
                       std::to_string(row.size()));
    rows_.push_back(std::move(row));
    return *this;
  }

  /// Where the table is wider than the terminal, headers longer than their cells are broken into
  /// two lines. Nothing is ever cut, so very long cells still stick out.
  std::string text(Terminal const& terminal = {}) const;

  std::vector<Column> const& columns() const { return columns_; }
  /// Every cell as it is read, a row a line.
  std::vector<std::vector<std::string>> rounded_cells() const {
    auto grid = Grid{};
    for (auto const& row : rows_) {
      auto& cells = grid.emplace_back();
      for (std::size_t c = 0; c < row.size(); ++c) {
        cells.push_back(row[c].rounded(columns_[c].precision));
        std::ranges::replace(cells.back(), '\n', ' ');
      }
    }
    return grid;
  }

  /// GitHub's table syntax, aligned in the source too.
  std::string markdown() const;

  /// RFC 4180 with "\n"; numbers are exact, not rounded for reading.
  std::string csv() const { return separated(','); }
  /// As csv(), separated by tabs.
  std::string tsv() const { return separated('\t'); }

 private:
  std::string separated(char separator) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

namespace detail {

/// Characters on a screen: code points, one cell each.
inline std::size_t columns_of(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::ranges::count_if(utf8, [](char c) { return (c & 0xC0) != 0x80; }));
}

inline std::string padded(std::string const& text, std::size_t width, Align align) {
  auto const blanks = std::string(width - std::min(width, columns_of(text)), ' ');
  return align == Align::left ? text + blanks : blanks + text;
}

/// A header as two lines of about equal width, broken at a blank or after '_', '-' or '/'; the
/// first line is empty where there is no such place.
inline std::pair<std::string, std::string> two_lines(std::string const& header) {
  auto best = std::pair{std::string{}, header};
  auto const longer = [](auto const& lines) {
    return std::max(columns_of(lines.first), columns_of(lines.second));
  };
  for (std::size_t i = 1; i + 1 < header.size(); ++i) {
    auto const blank = header[i] == ' ';
    if (!blank && std::string_view{"_-/"}.find(header[i]) == std::string_view::npos) continue;
    auto const lines = std::pair{header.substr(0, blank ? i : i + 1), header.substr(i + 1)};
    if (longer(lines) < longer(best)) best = lines;
  }
  return best;
}

inline void widen(std::vector<std::size_t>& widths, std::vector<std::string> const& row) {
  for (std::size_t c = 0; c < widths.size(); ++c)
    widths[c] = std::max(widths[c], columns_of(row[c]));
}

}  // namespace detail

inline std::string Table::text(Terminal const& terminal) const {
  constexpr std::size_t gap = 2;
  auto const grid = rounded_cells();
  auto cell_widths = std::vector<std::size_t>(columns_.size());
  for (auto const& row : grid) detail::widen(cell_widths, row);

  auto upper = std::vector<std::string>(columns_.size()), lower = upper;
  auto widths = cell_widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) lower[c] = columns_[c].header;
  detail::widen(widths, lower);
  auto total = gap * (columns_.size() - 1);
  for (auto const column : widths) total += column;
  auto const wraps = terminal.width != 0 && total > terminal.width;
  if (wraps) {
    for (std::size_t c = 0; c < columns_.size(); ++c)
      if (widths[c] > cell_widths[c]) std::tie(upper[c], lower[c]) = detail::two_lines(lower[c]);
    widths = cell_widths;
    detail::widen(widths, upper);
    detail::widen(widths, lower);
  }

  auto out = std::string{};
  auto const line = [&](std::vector<std::string> const& row, auto const& style_of) {
    auto blanks = std::size_t{0};  // that no cell has followed yet
    for (std::size_t c = 0; c < row.size(); ++c) {
      auto const cell = detail::padded(row[c], widths[c], columns_[c].align);
      auto const first = cell.find_first_not_of(' ');
      auto const last = cell.find_last_not_of(' ');
      if (first != cell.npos) {
        out += std::string(blanks + first, ' ') +
               terminal.styled(cell.substr(first, last + 1 - first), style_of(c));
        blanks = 0;
      }
      blanks += gap + (first == cell.npos ? cell.size() : cell.size() - 1 - last);
    }
    out += '\n';
  };
  auto const strong = [](std::size_t) { return Style::strong; };
  if (wraps) line(upper, strong);
  line(lower, strong);
  auto rule = std::vector<std::string>{};
  for (auto const column : widths) rule.emplace_back(column, '-');
  line(rule, [](std::size_t) { return Style::dim; });
  for (std::size_t r = 0; r < grid.size(); ++r) {
    line(grid[r], [&](std::size_t c) { return rows_[r][c].style(); });
  }
  return out;
}

inline std::string Table::markdown() const {
  auto const escaped = [](std::string const& text) {
    auto out = std::string{};
    for (auto const c : text) out += c == '|' ? "\\|" : std::string{c};
    return out;
  };
  auto grid = rounded_cells();
  auto& header = *grid.emplace(grid.begin());
  for (auto const& column : columns_) header.push_back(column.header);
  auto widths = std::vector<std::size_t>(columns_.size(), 3);
  for (auto& row : grid) {
    std::ranges::transform(row, row.begin(), escaped);
    detail::widen(widths, row);
  }
  auto& rule = *grid.emplace(grid.begin() + 1);
  for (std::size_t c = 0; c < columns_.size(); ++c)
    rule.push_back(std::string(widths[c] - 1, '-')
                       .insert(columns_[c].align == Align::left ? 0 : widths[c] - 1, ":"));

  auto out = std::string{};
  for (auto const& row : grid) {
    for (std::size_t c = 0; c < row.size(); ++c)
      out += "| " + detail::padded(row[c], widths[c], columns_[c].align) + ' ';
    out += "|\n";
  }
  return out;
}

inline std::string Table::separated(char separator) const {
  auto out = std::string{};
  auto const field = [&](std::size_t c, std::string text) {
    if (text.find_first_of(std::string{"\"\r\n"} + separator) != std::string::npos) {
      for (auto i = text.find('"'); i != std::string::npos; i = text.find('"', i + 2))
        text.insert(i, 1, '"');
      text = '"' + text + '"';
    }
    out += text + (c + 1 < columns_.size() ? separator : '\n');
  };
  for (std::size_t c = 0; c < columns_.size(); ++c) field(c, columns_[c].header);
  for (auto const& row : rows_)
    for (std::size_t c = 0; c < row.size(); ++c) field(c, row[c].exact());
  return out;
}

}  // namespace qlora::inline v1::report
