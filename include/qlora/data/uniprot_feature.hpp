/// Features of UniProt entries, as one text, in today's syntax, that from 2019 to 2022, in which
/// notes name the ligands, and that before:
///
///     BINDING 57..59; /ligand="ATP"; BINDING 86
///     METAL 9; /note="Zinc 2; catalytic"; NP_BIND 57..64; /note="ATP"
///     BINDING 86 86 ATP. {ECO:0000250}.; METAL 9 9 Zinc.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <qlora/core/file.hpp>
#include <qlora/data/annotation.hpp>

namespace qlora::inline v1 {

/// The kind of site that a feature key stands for, if for any.
inline std::optional<FeatureKind> site_kind(std::string_view key) {
  for (auto const binding : {"BINDING", "METAL", "CA_BIND", "NP_BIND"}) {
    if (key == binding) return FeatureKind::binding;
  }
  return key == "ACT_SITE" ? std::optional{FeatureKind::active} : std::nullopt;
}

namespace detail {

inline std::string_view trimmed(std::string_view text) {
  auto const first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

inline bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

/// Reads one text of features. `Fail` is called with a sentence and must throw.
template <class Fail>
class FeatureParser {
 public:
  FeatureParser(std::string_view text, std::size_t residues, Fail const& fail)
      : rest_{text}, residues_{residues}, fail_{fail} {}

  void read(std::vector<SiteFeature>& sites) {
    for (skip_blanks(); !rest_.empty(); skip_blanks()) sites.push_back(read_feature());
  }

 private:
  SiteFeature read_feature() {
    auto const key = take_word();
    auto const kind = site_kind(key);
    if (!kind) {
      fail("expected a feature, BINDING or ACT_SITE for instance, found '" + printable(key, 40) +
           "'");
    }
    auto site = SiteFeature{};
    site.kind = *kind;
    skip_blanks();
    auto const place = take_word();
    skip_blanks();
    if (!rest_.empty() && (is_digit(rest_.front()) || is_one_of(rest_.front(), "<>?"))) {
      place_site(site, place, take_word());
      describe(site, key, take_description());
    } else {
      auto const dots = place.find("..");
      if (dots == place.npos) {
        place_site(site, place, place);
      } else {
        place_site(site, place.substr(0, dots), place.substr(dots + 2));
      }
      auto const note = read_qualifiers(site);
      if (site.ligand.empty()) name_ligand(site, key, note);
    }
    return site;
  }

  /// `; /name="value"` any number of times, and the `;` behind the feature. Returns the note.
  std::string read_qualifiers(SiteFeature& site) {
    for (auto note = std::string{};;) {
      skip_blanks();
      if (rest_.empty()) return note;
      if (rest_.front() != ';') {
        fail("expected ';' behind a feature's position or value, found '" + printable(rest_, 20) +
             "'");
      }
      rest_.remove_prefix(1);
      skip_blanks();
      if (!rest_.starts_with('/')) return note;
      rest_.remove_prefix(1);
      auto const equals = rest_.find_first_of("=;\"");
      if (equals == rest_.npos || rest_[equals] != '=') {
        fail("expected '=' behind a qualifier's name, found '" + printable(rest_, 20) + "'");
      }
      auto const name = rest_.substr(0, equals);
      rest_.remove_prefix(equals + 1);
      auto value = take_quoted();
      if (name == "ligand") {
        site.ligand = std::move(value);
      } else if (name == "ligand_id") {
        site.ligand_id = value.starts_with("ChEBI:") ? value.substr(6) : std::move(value);
      } else if (name == "evidence") {
        site.evidence = evidence_of(value);
      } else if (name == "note") {
        note = std::move(value);
      }
    }
  }

  /// A value between quotes; a doubled quote stands for one.
  std::string take_quoted() {
    auto value = std::string{};
    if (!rest_.starts_with('"')) {
      fail("expected a value in quotes, found '" + printable(rest_, 20) + "'");
    }
    for (;;) {
      auto const end = rest_.find('"', 1);
      if (end == rest_.npos) fail("expected a closing quote, found '" + printable(rest_, 20) + "'");
      value += rest_.substr(1, end - 1);
      rest_.remove_prefix(end + 1);
      if (!rest_.starts_with('"')) return value;
      value += '"';
    }
  }

  /// The old syntax's text, which may hold `;`: up to the next feature, or to the end.
  std::string_view take_description() {
    for (auto semicolon = rest_.find(';'); semicolon != rest_.npos;
         semicolon = rest_.find(';', semicolon + 1)) {
      // Only as far as a key reaches: a text of semicolons is no reason to read it again for each.
      auto const rest = rest_.substr(semicolon + 1);
      auto const next = rest.substr(std::min(rest.find_first_not_of(" \t"), rest.size()), 9);
      if (!next.empty() && !site_kind(next.substr(0, next.find(' ')))) continue;
      auto const description = rest_.substr(0, semicolon);
      rest_.remove_prefix(semicolon + 1);
      return description;
    }
    return std::exchange(rest_, std::string_view{});
  }

  /// Ligand and evidence before 2019: `Zinc 1; catalytic (By similarity). {ECO:0000250}.`.
  static void describe(SiteFeature& site, std::string_view key, std::string_view text) {
    site.evidence = evidence_of(text);
    for (auto const* const known : {"(By similarity)", "(Potential)", "(Probable)"}) {
      if (site.evidence == Evidence::any && text.find(known) != text.npos) {
        site.evidence = Evidence::manual;
      }
    }
    name_ligand(site, key, text);
  }

  static void name_ligand(SiteFeature& site, std::string_view key, std::string_view text) {
    if (site.kind != FeatureKind::binding) return;
    if (key == "CA_BIND") {  // its text counts the sites
      site.ligand = "Ca(2+)";
      site.ligand_id = "CHEBI:29108";
      return;
    }
    text = trimmed(text.substr(0, text.find_first_of(";{")));
    if (text.ends_with('.')) text.remove_suffix(1);
    for (auto const* const known : {" (By similarity)", " (Potential)", " (Probable)"}) {
      if (text.ends_with(known)) text.remove_suffix(std::string_view{known}.size());
    }
    auto const word = text.rfind(' ');  // "Zinc 2" is the second zinc
    if (word != text.npos && word + 1 < text.size() &&
        text.find_first_not_of("0123456789", word) == word &&
        text.find_first_not_of("0123456789", word + 1) == text.npos) {
      text = text.substr(0, word);
    }
    site.ligand = text;
  }

  void place_site(SiteFeature& site, std::string_view first, std::string_view last) {
    if (auto const colon = first.rfind(':'); colon != first.npos && colon != 0) {
      site.placing = Placing::other_isoform;
      auto const prefix = first.substr(0, colon + 1);
      first.remove_prefix(prefix.size());
      if (last.starts_with(prefix)) last.remove_prefix(prefix.size());
    }
    auto const from = read_position(first);
    auto const to = read_position(last);
    if (site.placing == Placing::other_isoform) return;
    if (!from || !to) {
      site.placing = Placing::uncertain;
      return;
    }
    if (*to < *from) {
      fail("expected a range that ends behind its start, found '" + std::to_string(*from) + ".." +
           std::to_string(*to) + "'");
    }
    if (*to > residues_) {
      fail("expected a position from 1 to " + std::to_string(residues_) + ", found " +
           std::to_string(*to));
    }
    site.first = *from;
    site.last = *to;
  }

  /// Nothing for a position that is not known exactly.
  std::optional<std::uint32_t> read_position(std::string_view text) const {
    auto digits = text;
    auto const mark = text.empty() ? '\0' : text.front();
    auto const is_exact = !is_one_of(mark, "?<>");
    if (!is_exact) digits.remove_prefix(1);
    auto value = std::uint32_t{0};
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    auto const is_number = end == digits.data() + digits.size() && !digits.empty();
    auto const is_position = is_number ? error == std::errc{} && value > 0 : text == "?";
    if (!is_position) fail("expected a position from 1, found '" + printable(text, 40) + "'");
    return is_exact ? std::optional{value} : std::nullopt;
  }

  void skip_blanks() {
    auto const first = rest_.find_first_not_of(" \t");
    rest_.remove_prefix(first == rest_.npos ? rest_.size() : first);
  }
  std::string_view take_word() {
    auto const word = rest_.substr(0, rest_.find_first_of(" \t;"));
    rest_.remove_prefix(word.size());
    return word;
  }
  static bool is_one_of(char byte, std::string_view set) { return set.find(byte) != set.npos; }
  [[noreturn]] void fail(std::string const& sentence) const {
    fail_(sentence);
    std::abort();  // not reached: it throws
  }

  std::string_view rest_;
  std::size_t residues_;
  Fail const& fail_;
};

}  // namespace detail

/// Appends the sites of a text of features of a protein with so many residues. Calls
/// `fail(sentence)`, which must throw, for anything else than sites, a position that is 0, behind
/// the last residue or no 32-bit number, a range that runs backwards, and a quote that is not
/// closed.
template <class Fail>
void parse_features(std::string_view text, std::size_t residues, std::vector<SiteFeature>& sites,
                    Fail const& fail) {
  detail::FeatureParser<Fail>{text, residues, fail}.read(sites);
}

}  // namespace qlora::inline v1
