/// From what a database says of a protein to the labels of its residues.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/annotation.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// What residues are in an entry without an annotated site of the leading kind.
enum class Unannotated : std::uint8_t { unknown, negative };

/// Which sites are positive. The defaults are those of files that are read directly.
struct LabelPolicy {
  bool binding = true;
  bool active = true;
  Evidence evidence = Evidence::any;  ///< at least this
  std::string ligand{};               ///< its name, or its ChEBI identifier; empty: any
  Unannotated unannotated = Unannotated::unknown;
};

/// Records that were left out, by reason.
using SkipCounts = std::map<std::string, std::size_t, std::less<>>;

namespace skip_reason {
inline constexpr auto uncertain_position = std::string_view{"uncertain position"};
inline constexpr auto other_isoform = std::string_view{"position in another isoform"};
inline constexpr auto no_site = std::string_view{"no site that was asked for"};
inline constexpr auto no_labels = std::string_view{"no labelled residue"};
}  // namespace skip_reason

/// Labels, one a residue, or the reason why there are none.
struct Labelling {
  std::vector<std::int8_t> labels;
  std::string_view skipped;
};

namespace detail {

inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  auto const lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

/// Whether a site is of that ligand, which may be "ATP", "30616", "CHEBI:30616" or
/// "ChEBI:CHEBI:30616".
inline bool binds(SiteFeature const& site, std::string_view ligand) {
  if (equal_ignoring_case(site.ligand, ligand)) return true;
  auto const id = [](std::string_view text) {
    auto const colon = text.rfind(':');
    return colon == text.npos ? text : text.substr(colon + 1);
  };
  auto const wanted = id(ligand);
  auto const is_id = !wanted.empty() && wanted.find_first_not_of("0123456789") == wanted.npos;
  return is_id && site.ligand_id.starts_with("CHEBI:") && id(site.ligand_id) == wanted;
}

}  // namespace detail

/// Labels under a policy.
///
/// - Residues of a site of a kind that was asked for, with the ligand and at least the evidence
/// that
///   were asked for, are positive.
/// - Residues of other sites of those kinds are unknown: weaker evidence is no evidence of absence,
///   and a site of ADP may bind ATP.
/// - Other residues are negative if the protein has a positive site of the leading kind, which is
///   binding where that was asked for, and unknown otherwise: who has annotated the active site
///   alone has not said where ligands bind. `Unannotated::negative` makes them negative then, too.
/// - A ligand is a property of binding sites; with one, active sites are not asked for.
///
/// Labels that the file itself gives, which are of binding sites without a named ligand, stay as
/// they are. A protein with a site that counts at an uncertain position is skipped, and so is one
/// without a positive or known residue.
inline Labelling label(AnnotatedProtein const& protein, LabelPolicy const& policy) {
  auto const skip = [](std::string_view reason) { return Labelling{{}, reason}; };
  auto const any_ligand = policy.ligand.empty();
  if (!protein.labels.empty()) {
    if (!policy.binding || !any_ligand) return skip(skip_reason::no_site);
    return std::ranges::any_of(protein.labels, is_known) ? Labelling{protein.labels, {}}
                                                         : skip(skip_reason::no_labels);
  }
  auto const asks_active = policy.active && any_ligand;
  auto const leading = policy.binding ? FeatureKind::binding : FeatureKind::active;
  auto const is_asked = [&](SiteFeature const& site) {
    return site.kind == FeatureKind::binding ? policy.binding : asks_active;
  };
  auto const is_positive = [&](SiteFeature const& site) {
    return is_asked(site) && site.evidence >= policy.evidence &&
           (any_ligand || detail::binds(site, policy.ligand));
  };
  auto any = false;
  auto any_leading = false;
  for (auto const& site : protein.sites) {
    if (!is_asked(site)) continue;
    if (site.placing == Placing::uncertain) return skip(skip_reason::uncertain_position);
    if (site.placing == Placing::other_isoform) return skip(skip_reason::other_isoform);
    any = any || is_positive(site);
    any_leading = any_leading || (is_positive(site) && site.kind == leading);
  }
  if (!any) return skip(skip_reason::no_site);

  auto const negatives = any_leading || policy.unannotated == Unannotated::negative;
  auto labels =
      std::vector<std::int8_t>(protein.sequence.size(), negatives ? label_negative : label_unknown);
  auto const mark = [&](SiteFeature const& site, std::int8_t value) {
    std::fill(labels.begin() + site.first - 1, labels.begin() + site.last, value);
  };
  for (auto const& site : protein.sites) {
    if (is_asked(site) && !is_positive(site)) mark(site, label_unknown);
  }
  for (auto const& site : protein.sites) {
    if (is_positive(site)) mark(site, label_positive);
  }
  return {std::move(labels), {}};
}

/// Throws InputError for a policy under which nothing is positive.
inline void check(LabelPolicy const& policy) {
  if (!policy.binding && !policy.active) {
    throw InputError{"sites: expected binding, active or both, found none"};
  }
  if (!policy.binding && !policy.ligand.empty()) {
    throw InputError{"ligand: expected binding sites with it, found active sites alone"};
  }
}

}  // namespace qlora::inline v1
