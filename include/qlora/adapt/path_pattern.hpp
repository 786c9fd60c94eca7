/// Regular expressions over module paths, as `re.fullmatch` of Python reads them. In place of
/// `<regex>`, which takes seconds to compile and exponential time on hostile patterns.
#pragma once

#include <algorithm>
#include <bitset>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1::peft {

/// One pass over a pattern, carrying the set of positions in the text that it may have reached.
/// Knows literals, '.', classes, escapes for classes and punctuation, groups, look-ahead, '|', '^',
/// '$' and quantifiers; greedy and lazy are the same, as only the whole match counts.
class PathMatcher {
 public:
  PathMatcher(std::string_view pattern, std::string_view text) : pattern_{pattern}, text_{text} {}

  /// Whether the pattern matches the whole text. Throws InputError for a pattern that is malformed,
  /// uses anything else, or asks for too much work.
  bool run() {
    if (pattern_.size() > 1'000) fail("expected at most 1000 characters");
    auto starts = none();
    starts[0] = true;
    auto const ends = alternatives(starts);
    if (at_ < pattern_.size()) fail("unexpected ')'");
    return ends.back();
  }

 private:
  using Positions = std::vector<bool>;  ///< (text + 1)

  [[noreturn]] void fail(std::string_view reason) const {
    throw InputError{"regular expression \"" + printable(pattern_) + "\", character " +
                     std::to_string(at_) + ": " + std::string{reason}};
  }

  Positions none() const { return Positions(text_.size() + 1); }
  static bool any(Positions const& set) { return std::ranges::count(set, true) != 0; }
  static void unite(Positions& set, Positions const& other) {
    for (auto i = std::size_t{0}; i < set.size(); ++i) set[i] = set[i] || other[i];
  }
  static bool contains(Positions const& set, Positions const& other) {
    for (auto i = std::size_t{0}; i < set.size(); ++i) {
      if (other[i] && !set[i]) return false;
    }
    return true;
  }

  /// The work of a pass over `size` characters, of the text, the pattern or a class.
  void spend(std::size_t size) {
    work_ += size + 1;
    if (work_ > most_steps) fail("takes too many steps");
  }

  bool more() const { return at_ < pattern_.size(); }
  char next() {
    if (!more()) fail("unexpected end");
    spend(0);
    return pattern_[at_++];
  }
  bool accept(std::string_view token) {
    if (!pattern_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }

  Positions alternatives(Positions const& starts) {
    auto ends = sequence(starts);
    while (accept("|")) unite(ends, sequence(starts));
    return ends;
  }

  Positions sequence(Positions positions) {
    spend(text_.size());
    while (more() && pattern_[at_] != '|' && pattern_[at_] != ')') positions = repeated(positions);
    return positions;
  }

  /// An atom and its quantifier. The atom is read again for every repetition.
  Positions repeated(Positions const& starts) {
    auto const begin = at_;
    auto reached = atom(starts);
    auto const [least, most] = quantifier();
    auto const end = at_;
    auto ends = none();
    auto current = starts;
    for (auto count = 0; count < most; ++count) {
      if (count >= least) unite(ends, current);
      if (count > 0) {
        at_ = begin;
        reached = atom(current);
      }
      std::swap(current, reached);
      if (!any(current) || (count >= least && contains(ends, current))) break;
    }
    unite(ends, current);
    at_ = end;
    return ends;
  }

  /// Least and most repetitions.
  std::pair<int, int> quantifier() {
    constexpr auto unbounded = 1'000;  // more than any path has characters
    auto range = std::pair{1, 1};
    if (accept("*")) {
      range = {0, unbounded};
    } else if (accept("+")) {
      range = {1, unbounded};
    } else if (accept("?")) {
      range = {0, 1};
    } else if (accept("{")) {
      range.first = number();
      range.second =
          accept(",") ? (more() && pattern_[at_] == '}' ? unbounded : number()) : range.first;
      if (!accept("}") || range.second < range.first) fail("expected a range such as {1,3}");
    } else {
      return range;
    }
    accept("?");  // lazy
    return range;
  }
  int number() {
    auto value = 0;
    auto const begin = at_;
    while (more() && std::isdigit(static_cast<unsigned char>(pattern_[at_])) && at_ - begin < 3) {
      value = value * 10 + (next() - '0');
    }
    if (at_ == begin) fail("expected a number");
    return value;
  }

  Positions atom(Positions const& starts) {
    spend(text_.size());
    auto const c = next();
    switch (c) {
      case '(':
        return group(starts);
      case '[': {
        auto const set = character_class();
        return advance(starts, [&](char character) { return set(character); });
      }
      case '\\': {
        auto const set = escape();
        return advance(starts, [&](char character) { return set(character); });
      }
      case '.':
        return advance(starts, [](char character) { return character != '\n'; });
      case '^':
        return keep(starts, 0);
      case '$':
        return keep(starts, text_.size());
      case '*':
      case '+':
      case '?':
      case '{':
        fail("expected something to repeat");
      default:
        return advance(starts, [c](char character) { return character == c; });
    }
  }

  Positions group(Positions const& starts) {
    if (++depth_ > 32) fail("expected groups nested at most 32 deep");
    auto ends = none();
    if (accept("?=")) {
      ends = look_ahead(starts, true);
    } else if (accept("?!")) {
      ends = look_ahead(starts, false);
    } else {
      if (accept("?P<")) {
        while (next() != '>') continue;
      } else if (!accept("?:") && accept("?")) {
        fail("expected a plain group, (?:, (?=, (?! or (?P<");
      }
      ends = alternatives(starts);
    }
    if (!accept(")")) fail("expected ')'");
    --depth_;
    return ends;
  }

  /// The positions from which the group matches, or does not.
  Positions look_ahead(Positions const& starts, bool expected) {
    auto kept = none();
    auto const begin = at_;
    std::ignore = alternatives(none());  // reads it even if there is no position to look from
    auto const end = at_;
    for (auto i = std::size_t{0}; i < starts.size(); ++i) {
      if (!starts[i]) continue;
      auto single = none();
      single[i] = true;
      at_ = begin;
      kept[i] = any(alternatives(single)) == expected;
    }
    at_ = end;
    return kept;
  }

  template <class Predicate>
  Positions advance(Positions const& starts, Predicate const& accepts) const {
    auto ends = none();
    for (auto i = std::size_t{0}; i < text_.size(); ++i)
      ends[i + 1] = starts[i] && accepts(text_[i]);
    return ends;
  }
  Positions keep(Positions const& starts, std::size_t position) const {
    auto kept = none();
    kept[position] = starts[position];
    return kept;
  }

  struct CharacterSet {
    std::bitset<256> members;
    bool negated = false;

    bool operator()(char c) const { return members[static_cast<unsigned char>(c)] != negated; }
    void insert(char c) { members.set(static_cast<unsigned char>(c)); }
  };

  CharacterSet all_that(int (*is)(int), bool negated) {
    auto set = CharacterSet{{}, negated};
    spend(128);
    for (auto c = 0; c < 128; ++c) {
      if (is(c) != 0) set.insert(static_cast<char>(c));
    }
    return set;
  }

  CharacterSet escape() {
    auto const c = next();
    switch (c) {
      case 'd':
      case 'D':
        return all_that(std::isdigit, c == 'D');
      case 's':
      case 'S':
        return all_that(std::isspace, c == 'S');
      case 'w':
      case 'W':
        return all_that([](int i) { return std::isalnum(i) != 0 || i == '_' ? 1 : 0; }, c == 'W');
      default: {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0) fail("unsupported escape");
        auto set = CharacterSet{};
        set.insert(c);
        return set;
      }
    }
  }

  CharacterSet character_class() {
    auto set = CharacterSet{{}, accept("^")};
    for (auto first = true; first || !accept("]"); first = false) {
      auto const c = next();
      if (c == '\\') {
        auto const part = escape();
        if (part.negated) fail("unsupported escape in a class");
        set.members |= part.members;
        continue;
      }
      auto last = c;
      if (more() && pattern_[at_] == '-' && !pattern_.substr(at_).starts_with("-]")) {
        ++at_;
        last = next();
        if (last < c || last == '\\') fail("unsupported range");
        spend(static_cast<std::size_t>(last - c));
      }
      for (auto member = int{c}; member <= last; ++member) set.insert(static_cast<char>(member));
    }
    return set;
  }

  static constexpr auto most_steps = std::size_t{500'000};

  std::string_view pattern_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t work_ = 0;  ///< characters looked at
  int depth_ = 0;
};

}  // namespace qlora::inline v1::peft
