/// Rows of tables whose cells are separated by tabs, plain or quoted as CSV does.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/core/file.hpp>
#include <qlora/data/lines.hpp>

namespace qlora::inline v1 {

/// The cells of one row at a time. A cell that starts with a quote ends with one; a doubled quote
/// in it stands for one. The object keeps its memory from row to row.
class TableRow {
 public:
  /// Takes the current line apart. Throws InputError for a quote that is not closed, and for text
  /// behind a closing one.
  void parse(Lines const& lines) {
    auto rest = lines.whole_line();
    cells_.clear();
    unquoted_.clear();
    unquoted_.reserve(rest.size());  // so that cells which lie in it stay where they are
    for (auto more = true; more;) {
      if (cells_.size() == most_cells) {
        lines.fail("expected at most " + std::to_string(most_cells) + " columns, found more");
      }
      cells_.push_back(rest.starts_with('"') ? take_quoted(rest, lines) : take_plain(rest));
      more = rest.starts_with('\t');
      if (more) rest.remove_prefix(1);
    }
  }

  std::size_t size() const noexcept { return cells_.size(); }
  /// Valid until the next call of parse() or of Lines::next().
  std::string_view operator[](std::size_t cell) const { return cells_[cell]; }
  auto begin() const noexcept { return cells_.begin(); }
  auto end() const noexcept { return cells_.end(); }

 private:
  static std::string_view take_plain(std::string_view& rest) {
    auto const cell = rest.substr(0, rest.find('\t'));
    rest.remove_prefix(cell.size());
    return cell;
  }
  std::string_view take_quoted(std::string_view& rest, Lines const& lines) {
    auto const start = unquoted_.size();
    for (auto is_first = true; is_first || rest.starts_with('"'); is_first = false) {
      auto const end = rest.find('"', 1);
      if (end == rest.npos) {
        lines.fail("column " + std::to_string(cells_.size() + 1) +
                   ": expected a closing quote, found the end of the line");
      }
      if (!is_first) unquoted_ += '"';
      unquoted_ += rest.substr(1, end - 1);
      rest.remove_prefix(end + 1);
    }
    if (!rest.empty() && rest.front() != '\t') {
      lines.fail("column " + std::to_string(cells_.size() + 1) +
                 ": expected a tab behind the closing quote, found '" + printable(rest, 20) + "'");
    }
    return std::string_view{unquoted_}.substr(start);
  }

  static constexpr std::size_t most_cells = 10'000;  // UniProt has some hundreds to choose from

  std::vector<std::string_view> cells_;
  std::string unquoted_;
};

}  // namespace qlora::inline v1
