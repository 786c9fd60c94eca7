/// Coordinate files, PDB and mmCIF: the sequences of their protein chains out, a number a residue
/// into their B-factor column, where every viewer can colour by it.
///
///     auto const structure = predict::Structure::read("1abc.cif");
///     auto const chains = structure.chains();  // proteins, by the authors' names of chains
///     ... = structure.with_b_factors(values);  // (chains, residues)
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1::predict {

/// An amino acid by its name in three letters. Modified ones are residues of a chain although their
/// atoms are called those of a ligand; free amino acids are not.
struct AminoAcid {
  std::string_view name;
  char letter;  ///< of a modified one its parent's
  bool is_modified = false;
};

/// X for "UNK", nothing for what is no amino acid.
inline std::optional<AminoAcid> find_amino_acid(std::string_view name) {
  static constexpr auto modified = true;
  static constexpr auto known = std::to_array<AminoAcid>(
      {{"ALA", 'A'},           {"ARG", 'R'},           {"ASN", 'N'},
       {"ASP", 'D'},           {"CYS", 'C'},           {"GLN", 'Q'},
       {"GLU", 'E'},           {"GLY", 'G'},           {"HIS", 'H'},
       {"ILE", 'I'},           {"LEU", 'L'},           {"LYS", 'K'},
       {"MET", 'M'},           {"PHE", 'F'},           {"PRO", 'P'},
       {"SER", 'S'},           {"THR", 'T'},           {"TRP", 'W'},
       {"TYR", 'Y'},           {"VAL", 'V'},           {"ASX", 'B'},
       {"GLX", 'Z'},           {"UNK", 'X'},           {"SEC", 'U', modified},
       {"PYL", 'O', modified}, {"MSE", 'M', modified}, {"SEP", 'S', modified},
       {"TPO", 'T', modified}, {"PTR", 'Y', modified}, {"CSO", 'C', modified},
       {"OCS", 'C', modified}, {"CME", 'C', modified}, {"KCX", 'K', modified},
       {"MLY", 'K', modified}, {"HYP", 'P', modified}, {"PCA", 'E', modified}});
  auto const found = std::ranges::find(known, name, &AminoAcid::name);
  return found == known.end() ? std::nullopt : std::optional{*found};
}

class Structure {
 public:
  static constexpr std::size_t limit_bytes = std::size_t{512} << 20;
  static constexpr std::size_t most_columns = 1000;  ///< of mmCIF's atoms, which have some 20

  /// Throws InputError for a file that is neither, names no protein residue, or has an atom that
  /// cannot be read.
  static Structure read(std::filesystem::path const& path) {
    auto structure = Structure{};
    structure.file_ = path.string();
    structure.text_ = read_text(path, limit_bytes);
    auto const is_mmcif = structure.text_.find("_atom_site.") != std::string::npos;
    auto const read_all = [&](Kept kept) {
      structure.kept_ = kept;
      if (is_mmcif) {
        structure.read_mmcif();
      } else {
        structure.read_pdb();
      }
    };
    read_all(Kept::nothing);  // what is refused takes no memory beside the text
    if (!structure.has_protein_) {
      throw InputError{
          at(structure.file_, "expected atoms of a protein in PDB or mmCIF format, found none")};
    }
    read_all(Kept::everything);
    return structure;
  }

  /// In the order of the file; an identifier is the chain's name, "_" for one without.
  std::vector<Protein> const& chains() const { return chains_; }

  /// The file with 100 times `values` (chains, residues) in the B-factor column of every atom of
  /// these residues, whatever its model, and 0 in that of all other atoms. Throws ShapeError
  /// unless there is a value for each residue.
  std::string with_b_factors(std::span<std::vector<float> const> values) const {
    auto fits = values.size() == chains_.size();
    for (std::size_t c = 0; fits && c < values.size(); ++c) {
      fits = values[c].size() == chains_[c].sequence.size();
    }
    if (!fits) throw ShapeError{file_ + ": expected a value for each residue of each chain"};
    auto text = std::string{};
    auto copied = std::size_t{0};
    for (auto const& atom : atoms_) {
      auto value = 0.;
      if (atom.residue) {
        auto const [chain, residue] = *atom.residue;
        value = 100. * double{values[chain][residue]};
      }
      char number[32];
      std::snprintf(number, sizeof number, "%.2f", value);
      auto const padding = atom.length - std::min(atom.length, std::string_view{number}.size());
      text.append(text_, copied, atom.begin - copied);
      if (is_pdb_) text.append(padding, ' ');
      text += number;
      copied = atom.begin + atom.length;
    }
    return text.append(text_, copied);
  }

 private:
  using Place = std::pair<std::size_t, std::size_t>;  ///< of a residue: chain, and number in it
  /// A residue as the authors number it: chain, number, insertion code.
  using Key = std::tuple<std::string, std::string, std::string>;

  /// Of what is read: first nothing, to check it, then everything.
  enum class Kept { nothing, everything };

  struct Atom {
    std::size_t begin = 0, length = 0;  ///< of its B-factor, in the text
    std::optional<Place> residue;       ///< none of what is no protein
  };

  void add(Atom atom, std::string_view chain, std::string_view number, std::string_view insertion,
           std::optional<AminoAcid> const& residue) {
    has_protein_ = has_protein_ || residue;
    if (kept_ == Kept::nothing) return;
    if (residue) {
      auto const [entry, is_new] = residues_.try_emplace(Key{chain, number, insertion}, Place{});
      if (is_new) entry->second = place_of(chain, residue->letter);
      atom.residue = entry->second;
    }
    atoms_.push_back(atom);
  }

  /// Of the next residue of that chain.
  Place place_of(std::string_view chain, char letter) {
    auto const id = chain.empty() ? std::string_view{"_"} : chain;
    auto const [number, is_new] = numbers_.try_emplace(std::string{id}, chains_.size());
    if (is_new) chains_.push_back({.id = std::string{id}, .sequence = {}, .labels = {}});
    auto& sequence = chains_[number->second].sequence;
    sequence += letter;
    return {number->second, sequence.size() - 1};
  }

  [[noreturn]] void fail(std::size_t line, std::string const& what) const {
    throw InputError{at(file_, what, line)};
  }

  /// Names of chains are identifiers, which tables hold.
  std::string_view chain_name(std::string_view name, std::size_t line) const {
    if (name.size() > longest_id) {
      fail(line, "expected a chain's name of at most " + std::to_string(longest_id) +
                     " bytes, found " + std::to_string(name.size()));
    }
    if (is_plain_id(name)) return name;
    fail(line, "expected a chain's name without blanks and control characters, found '" +
                   printable(name) + "'");
  }

  static std::string_view trimmed(std::string_view text) {
    auto const first = text.find_first_not_of(' ');
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(' ') - first + 1);
  }

  /// Calls `use(line, number, begin)` for each line without its end.
  template <class Use>
  void for_each_line(Use&& use) const {
    auto number = std::size_t{1};
    for (std::size_t begin = 0; begin < text_.size(); ++number) {
      auto const end = std::min(text_.find('\n', begin), text_.size());
      auto line = std::string_view{text_}.substr(begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      use(line, number, begin);
      begin = end + 1;
    }
  }

  /// Columns of the format's version 3.30: residue 18-20, chain 22, number 23-26, insertion 27,
  /// B-factor 61-66.
  void read_pdb() {
    is_pdb_ = true;
    for_each_line([&](std::string_view line, std::size_t number, std::size_t begin) {
      if (!line.starts_with("ATOM  ") && !line.starts_with("HETATM")) return;
      if (line.size() < 66) fail(number, "expected an atom of at least 66 columns, found fewer");
      auto residue = find_amino_acid(trimmed(line.substr(17, 3)));
      if (residue && line.starts_with("HETATM") && !residue->is_modified) residue.reset();
      add({.begin = begin + 60, .length = 6, .residue = {}},
          chain_name(trimmed(line.substr(21, 1)), number), trimmed(line.substr(22, 4)),
          trimmed(line.substr(26, 1)), residue);
    });
  }

  /// The loop over atom_site; a row on one line, as every archive writes it.
  void read_mmcif() {
    auto columns = std::map<std::string, std::size_t>{};
    auto in_header = false, in_rows = false;
    for_each_line([&](std::string_view line, std::size_t number, std::size_t begin) {
      if (line.starts_with("_atom_site.")) {
        in_header = true;
        auto const name = trimmed(line.substr(11));
        columns.emplace(std::string{name.substr(0, name.find(' '))}, columns.size());
        if (columns.size() > most_columns) {
          fail(number, "expected at most " + std::to_string(most_columns) +
                           " columns _atom_site, found more");
        }
        return;
      }
      if (in_header) {
        in_header = false;
        in_rows = true;
      }
      if (!in_rows) return;
      if (trimmed(line).empty() || line.starts_with('#')) return;
      if (line.starts_with('_') || line.starts_with("loop_") || line.starts_with("data_")) {
        in_rows = false;
        return;
      }
      add_row(line, number, begin, columns);
    });
  }

  void add_row(std::string_view line, std::size_t number, std::size_t begin,
               std::map<std::string, std::size_t> const& columns) {
    auto const tokens = split(line, number, columns.size() + 1);
    if (tokens.size() != columns.size()) {
      fail(number, "expected " + std::to_string(columns.size()) + " values of an atom, found " +
                       (tokens.size() > columns.size() ? "more" : std::to_string(tokens.size())));
    }
    // The authors' own names, else those of the archive.
    auto const value = [&](char const* own, char const* other) {
      for (auto const* const name : {own, other}) {
        if (auto const found = columns.find(name); found != columns.end()) {
          return tokens[found->second];
        }
      }
      fail(number, std::string{"expected a column _atom_site."} + own + ", found none");
    };
    auto const is_known = [](std::string_view text) { return text != "?" && text != "."; };
    auto const factor = value("B_iso_or_equiv", "B_iso_or_equiv");
    auto const insertion = columns.contains("pdbx_PDB_ins_code")
                               ? value("pdbx_PDB_ins_code", "pdbx_PDB_ins_code")
                               : std::string_view{"?"};
    auto const name = value("auth_comp_id", "label_comp_id");
    auto const is_polymer =
        !columns.contains("label_seq_id") || is_known(value("label_seq_id", "label_seq_id"));
    add({.begin = begin + static_cast<std::size_t>(factor.data() - line.data()),
         .length = factor.size(),
         .residue = {}},
        chain_name(value("auth_asym_id", "label_asym_id"), number),
        value("auth_seq_id", "label_seq_id"), is_known(insertion) ? insertion : std::string_view{},
        is_polymer ? find_amino_acid(name) : std::nullopt);
  }

  /// Values between blanks, `most` at most; one in quotes may hold blanks, and ends at a quote
  /// before a blank.
  std::vector<std::string_view> split(std::string_view line, std::size_t number,
                                      std::size_t most) const {
    auto const is_blank = [](char c) { return c == ' ' || c == '\t'; };
    auto tokens = std::vector<std::string_view>{};
    for (std::size_t i = 0; i < line.size() && tokens.size() < most;) {
      if (is_blank(line[i])) {
        ++i;
        continue;
      }
      auto end = i + 1;
      if (auto const quote = line[i]; quote == '\'' || quote == '"') {
        while (end < line.size() &&
               !(line[end] == quote && (end + 1 == line.size() || is_blank(line[end + 1])))) {
          ++end;
        }
        if (end == line.size()) fail(number, "expected a closing quote, found none");
        tokens.push_back(line.substr(i + 1, end - i - 1));
        ++end;
      } else {
        while (end < line.size() && !is_blank(line[end])) ++end;
        tokens.push_back(line.substr(i, end - i));
      }
      i = end;
    }
    return tokens;
  }

  std::string file_, text_;
  bool is_pdb_ = false;
  Kept kept_ = Kept::nothing;
  bool has_protein_ = false;
  std::vector<Protein> chains_;
  std::vector<Atom> atoms_;
  std::map<Key, Place> residues_;
  std::map<std::string, std::size_t> numbers_;
};

}  // namespace qlora::inline v1::predict
