/// The ancestor of a family: domains of helices, strands and loops, with motifs and their partners.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <qlora/core/random.hpp>
#include <qlora/synth/lineage.hpp>
#include <qlora/synth/motif.hpp>
#include <qlora/synth/substitution.hpp>

namespace qlora::inline v1::synth {

/// Least distance in residues, edge to edge, between a motif and the partner it needs, in a root;
/// deletions can take Lineage::deletable away from it.
inline constexpr std::size_t partner_distance = 50;

namespace detail {

/// Quantiles 0/16 to 16/16 of a domain's length: log-normal, median 95, sigma 0.45, tails cut.
inline constexpr auto domain_lengths = std::array<std::uint32_t, 17>{
    37, 48, 57, 64, 70, 76, 82, 89, 95, 102, 110, 118, 129, 142, 159, 189, 242};

/// Chances of one to five domains, of 16.
inline constexpr auto domain_counts =
    std::array<std::uint32_t, 16>{1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 5};

/// Appends helices (every third or fourth site buried), strands (every second) and loops.
inline void append_domain(RandomSequence& random, std::vector<Site>& sites) {
  auto const bin = random.below(16);
  auto const length = between(random, domain_lengths[bin], domain_lengths[bin + 1]);
  auto const end = sites.size() + length;
  while (sites.size() < end) {
    auto const helix = random.below(2) == 0;
    auto const structured = helix ? between(random, 8, 18) : between(random, 4, 8);
    auto const phase = random.below(7);
    for (auto i = std::uint32_t{0}; i < structured && sites.size() < end; ++i) {
      auto const turn = (i + phase) % 7;
      auto const buried = helix ? turn == 0 || turn == 3 || turn == 4 : (i + phase) % 2 == 0;
      auto const environment =
          helix ? (buried ? Environment::helix_buried : Environment::helix_exposed)
                : (buried ? Environment::strand_buried : Environment::strand_exposed);
      sites.push_back(draw_site(random, environment));
    }
    auto const loop = between(random, 3, 9);
    for (auto i = std::uint32_t{0}; i < loop && sites.size() < end; ++i) {
      sites.push_back(draw_site(random, Environment::loop));
    }
  }
}

/// Domains and linkers of 80 to 740 residues in all, so that leaves have 60 to 800.
inline std::vector<Site> draw_background(RandomSequence& random) {
  auto sites = std::vector<Site>{};
  do {
    sites.clear();
    auto const domains = domain_counts[random.below(domain_counts.size())];
    for (auto domain = std::uint32_t{0}; domain < domains; ++domain) {
      if (domain != 0) {
        auto const linker = between(random, 5, 25);
        for (auto i = std::uint32_t{0}; i < linker; ++i) {
          sites.push_back(draw_site(random, Environment::linker));
        }
      }
      append_domain(random, sites);
    }
  } while (sites.size() < 80 || sites.size() > 740);
  sites.front().residue = static_cast<Residue>(residues.find('M'));
  sites.front().allowed = residue_set("M");
  return sites;
}

/// Where a motif or partner lies.
struct Placed {
  Motif const* motif;
  Role role;
  std::size_t begin, end;
};

inline std::size_t distance(Placed const& a, Placed const& b) {
  if (a.end <= b.begin) return b.begin - a.end;
  return b.end <= a.begin ? a.begin - b.end : 0;
}

/// Adds an element at a random place that keeps its distances; false when none was found.
inline bool place(RandomSequence& random, Motif const& motif, Role role, std::size_t length,
                  std::vector<Placed>& placed) {
  auto const width = motif.pattern.size();
  for (auto attempt = 0; attempt < 50; ++attempt) {
    auto const begin = 2 + random.below(static_cast<std::uint32_t>(length - width - 2));
    auto const element = Placed{&motif, role, begin, begin + width};
    auto const fits = std::ranges::all_of(placed, [&](Placed const& other) {
      auto const related = other.role != role && other.motif->ligand == motif.ligand;
      return distance(element, other) >= (related ? partner_distance : 6);
    });
    if (!fits) continue;
    placed.push_back(element);
    return true;
  }
  return false;
}

/// Motifs, about one a hundred residues and one more, then the partner of every ligand they bind.
/// Draws again what does not fit.
inline std::vector<Placed> draw_layout(RandomSequence& random, std::size_t length) {
  for (;;) {
    auto const count = 1 + (length + random.below(100) - 50) / 100;
    auto placed = std::vector<Placed>{};
    auto complete = true;
    for (auto i = std::size_t{0}; i < count; ++i) {
      auto const& motif = motifs[random.below(motifs.size())];
      complete = complete && place(random, motif, Role::motif, length, placed);
    }
    for (auto const& partner : partners) {
      auto const needed = std::ranges::any_of(
          placed, [&](Placed const& other) { return other.motif->ligand == partner.ligand; });
      if (needed) complete = complete && place(random, partner, Role::partner, length, placed);
    }
    if (complete) return placed;
  }
}

/// Writes an element over the background.
inline void imprint(RandomSequence& random, Placed const& element, std::span<Site> sites) {
  auto const& [motif, role, begin, end] = element;
  for (auto i = begin; i < end; ++i) {
    auto const letter = motif->pattern[i - begin];
    auto& site = sites[i];
    site.environment = letter == 'h' ? Environment::strand_buried : Environment::loop;
    site.role = role;
    if (letter == '?') {
      site.role = role == Role::motif ? Role::motif_contact : Role::partner_contact;
    }
    site.ligand = motif->ligand;
    site.binds = motif->binding[i - begin] == '^';
    site.allowed = pattern_set(letter);
    site.residue = draw_residue(random, site.environment, site.allowed);
    site.rate = static_cast<std::uint16_t>(letter == '?' ? 0 : site.rate / 2);
  }
}

}  // namespace detail

/// The ancestor, every partner present.
inline Lineage draw_root(RandomSequence& random) {
  auto root = Lineage{.sites = detail::draw_background(random)};
  for (auto const& element : detail::draw_layout(random, root.sites.size())) {
    detail::imprint(random, element, root.sites);
    root.partner_present[static_cast<std::size_t>(element.motif->ligand)] = true;
  }
  for (auto const& partner : partners) draw_contacts(random, partner.ligand, root);
  return root;
}

}  // namespace qlora::inline v1::synth
