/// What a database says of a protein: its family, and sites with their kind, ligand and evidence.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qlora::inline v1 {

/// What happens at a site. UniProt's older METAL, CA_BIND and NP_BIND are binding sites.
enum class FeatureKind : std::uint8_t { binding, active };

/// How an annotation is known, the weaker first: in any way, none stated among them; by a curator;
/// by an experiment on this very protein.
enum class Evidence : std::uint8_t { any, manual, experimental };

/// Whether a site's positions can be used.
enum class Placing : std::uint8_t {
  exact,          ///< `first` and `last` are known
  uncertain,      ///< `?`, `?58`, `<1`, `>90`
  other_isoform,  ///< `P12345-2:12`: counted along another sequence
};

struct SiteFeature {
  FeatureKind kind = FeatureKind::binding;
  Placing placing = Placing::exact;
  Evidence evidence = Evidence::any;
  std::uint32_t first = 0;  ///< residue, from 1
  std::uint32_t last = 0;   ///< residue, inclusive
  std::string ligand;       ///< by name; empty when none is named, as at active sites
  std::string ligand_id;    ///< "CHEBI:30616", or empty

  friend bool operator==(SiteFeature const&, SiteFeature const&) = default;
};

/// A record of any format. Formats that label residues fill `labels`, databases `sites`.
struct AnnotatedProtein {
  std::string id;
  std::string sequence;             ///< upper-case letters, never empty
  std::vector<std::int8_t> labels;  ///< one a residue, as in Protein; or empty
  std::vector<SiteFeature> sites;
  std::string family;  ///< as the database spells it; empty when it names none

  friend bool operator==(AnnotatedProtein const&, AnnotatedProtein const&) = default;
};

/// The strongest evidence among the codes of the Evidence and Conclusion Ontology in a text, such
/// as `ECO:0000269|PubMed:1, ECO:0000305`. Experimental are ECO:0000269 and ECO:0007744; codes of
/// automatic assertions count as none (https://www.uniprot.org/help/evidences).
inline Evidence evidence_of(std::string_view text) {
  using namespace std::string_view_literals;
  auto strongest = Evidence::any;
  for (auto place = text.find("ECO:"); place != text.npos; place = text.find("ECO:", place + 4)) {
    auto const code = text.substr(place + 4, 7);
    if (code == "0000269" || code == "0007744") return Evidence::experimental;
    auto const automatic = {"0000256"sv, "0000259"sv, "0000313"sv,
                            "0000213"sv, "0007829"sv, "0008006"sv};
    if (std::ranges::find(automatic, code) == automatic.end()) strongest = Evidence::manual;
  }
  return strongest;
}

}  // namespace qlora::inline v1
