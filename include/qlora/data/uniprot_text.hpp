/// UniProt's flat text: lines that start with a code (ID, AC, CC, FT, SQ), an entry up to `//`
/// (https://web.expasy.org/docs/userman.html).
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/data/annotation.hpp>
#include <qlora/data/id_set.hpp>
#include <qlora/data/lines.hpp>
#include <qlora/data/record.hpp>
#include <qlora/data/uniprot_feature.hpp>

namespace qlora::inline v1 {

namespace detail {

/// The family as UniProt's tables spell it: "Belongs to the A superfamily. B family. {ECO:...}."
/// becomes "A superfamily, B family"; empty for a similarity that is not about a family.
inline std::string family_of(std::string_view similarity) {
  constexpr auto phrase = std::string_view{"elongs to the "};
  auto const start = similarity.find(phrase);
  if (start == similarity.npos) return {};
  auto text = similarity.substr(start + phrase.size());
  text = trimmed(text.substr(0, text.find('{')));
  if (text.ends_with('.')) text.remove_suffix(1);
  auto family = std::string{};
  for (auto dot = text.find(". "); dot != text.npos; dot = text.find(". ")) {
    family.append(text.substr(0, dot)).append(", ");
    text.remove_prefix(dot + 2);
  }
  family += text;
  if (!family.empty() && family[0] >= 'a' && family[0] <= 'z') {
    family[0] = static_cast<char>(family[0] - 'a' + 'A');
  }
  return family;
}

/// One entry, line by line.
class UniprotEntry {
 public:
  explicit UniprotEntry(Lines const& lines) : lines_{lines}, start_{lines.number()} {}

  void accession(std::string_view text) {
    if (accession_.empty()) accession_ = trimmed(text.substr(0, text.find(';')));
  }

  /// A comment line. A topic starts with `-!- TOPIC:`; what follows may go on over lines.
  void comment(std::string_view text) {
    constexpr auto topic = std::string_view{"-!- SIMILARITY:"};
    if (text.starts_with("-!-") || text.starts_with("---")) finish_similarity();
    if (text.starts_with(topic)) {
      in_similarity_ = true;
      text.remove_prefix(topic.size());
    }
    if (in_similarity_) similarity_.append(" ").append(trimmed(text));
  }

  /// A feature line behind its code and blanks: the key in eight columns, then place and
  /// qualifiers. They are brought into the syntax of one line.
  void feature(std::string_view text) {
    auto const key = text.substr(0, text.find(' '));
    if (!key.empty()) {
      in_site_ = site_kind(key).has_value();
      in_quotes_ = false;
      if (in_site_ && !features_.empty()) features_ += "; ";
    } else {
      text = trimmed(text);
      // A long value goes on in the next line, behind a blank or a hyphen.
      auto const joint = !in_quotes_ && text.starts_with('/') ? "; "
                         : features_.ends_with('-')           ? ""
                                                              : " ";
      if (in_site_) features_ += joint;
    }
    if (!in_site_) return;
    features_ += text;
    for (auto const byte : text) in_quotes_ ^= byte == '"';
    if (features_.size() > Lines::longest_line) {
      lines_.fail("expected at most " + std::to_string(Lines::longest_line) +
                  " bytes of features, found more");
    }
  }

  /// `SQ   SEQUENCE   256 AA; ...`
  void sequence_header(std::string_view text) {
    if (header_line_ != 0) lines_.fail("expected one sequence an entry, found two");
    auto const digits = std::min(text.find_first_of("0123456789"), text.size());
    auto const* const end = text.data() + text.size();
    auto const behind = std::from_chars(text.data() + digits, end, residues_).ptr;
    auto const before = text.substr(0, digits);
    if (!before.starts_with("SEQUENCE") || !before.ends_with(' ') ||
        !std::string_view{behind, end}.starts_with(" AA") || residues_ == 0) {
      lines_.fail("expected 'SEQUENCE' and a number of residues, found '" + printable(text, 40) +
                  "'");
    }
    header_line_ = lines_.number();
  }

  void residues(std::string_view text) {
    if (header_line_ == 0) lines_.fail("expected a line with a code, found blanks");
    for (text = trimmed(text); !text.empty();) {
      auto const word = text.substr(0, text.find(' '));
      append_residues(lines_, word, protein_.sequence);
      text = trimmed(text.substr(word.size()));
    }
  }

  /// At `//`.
  AnnotatedProtein finish(IdSet& seen) {
    finish_similarity();
    protein_.id = new_id(lines_, accession_, seen);
    if (protein_.sequence.size() != residues_ || residues_ == 0) {
      lines_.fail("expected " + std::to_string(residues_) + " residues for '" +
                  printable(protein_.id) + "', found " + std::to_string(protein_.sequence.size()));
    }
    parse_features(features_, residues_, protein_.sites, [&](std::string const& sentence) {
      throw InputError{at(lines_.name(), printable(protein_.id) + ": " + sentence, start_)};
    });
    return std::move(protein_);
  }

 private:
  void finish_similarity() {
    if (in_similarity_) {
      auto const family = family_of(similarity_);
      if (!family.empty() && !protein_.family.empty()) protein_.family += "; ";
      protein_.family += family;
    }
    in_similarity_ = false;
    similarity_.clear();
  }

  Lines const& lines_;
  std::size_t start_;
  std::string accession_, similarity_, features_;
  AnnotatedProtein protein_;
  std::size_t residues_ = 0;  ///< as SQ gives them
  std::size_t header_line_ = 0;
  bool in_similarity_ = false;
  bool in_site_ = false;
  bool in_quotes_ = false;
};

/// Of lines that nothing is read from; any other would be a damaged one.
inline bool is_idle_line(std::string_view code) {
  static constexpr auto codes =
      std::to_array<std::string_view>({"DT", "DE", "GN", "OS", "OG", "OC", "OX", "OH", "RN", "RP",
                                       "RC", "RX", "RG", "RA", "RT", "RL", "DR", "PE", "KW", "**"});
  return std::ranges::find(codes, code) != codes.end();
}

}  // namespace detail

/// Calls `use(AnnotatedProtein&&)` for every entry, in file order, under its first accession.
/// Throws InputError for an entry without accession, sequence or end, one whose sequence is not as
/// long as it says, one that comes twice, a line of no known code, and for what parse_features
/// refuses.
template <class Use>
void for_each_uniprot_text(std::filesystem::path const& path, Use&& use) {
  auto lines = Lines{path};
  auto seen = IdSet{};
  auto entry = std::optional<detail::UniprotEntry>{};
  while (lines.next()) {
    auto const line = lines.line();
    if (line.empty()) continue;
    auto const code = line.substr(0, 2);
    auto const text = line.size() > 5 ? line.substr(5) : std::string_view{};
    if (!entry) {
      if (code != "ID") {
        lines.fail("expected an entry that starts with ID, found '" + printable(line, 20) + "'");
      }
      entry.emplace(lines);
      continue;
    }
    if (code == "//") {
      use(entry->finish(seen));
      entry.reset();
    } else if (code == "ID") {
      lines.fail("expected the entry to end with //, found the next one");
    } else if (code == "AC") {
      entry->accession(text);
    } else if (code == "CC") {
      entry->comment(text);
    } else if (code == "FT") {
      entry->feature(text);
    } else if (code == "SQ") {
      entry->sequence_header(text);
    } else if (code == "  ") {
      entry->residues(text);
    } else if (!detail::is_idle_line(code)) {
      lines.fail("expected a line of a UniProt entry, found '" + printable(line, 20) + "'");
    }
  }
  if (entry) lines.fail("expected the entry to end with //, found the end of the file");
  if (seen.empty()) throw InputError{at(lines.name(), "expected UniProt entries, found none")};
}

}  // namespace qlora::inline v1
