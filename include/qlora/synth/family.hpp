/// Evolution along a tree: the members of one protein family.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qlora/core/random.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/synth/lineage.hpp>
#include <qlora/synth/root.hpp>

namespace qlora::inline v1::synth {
namespace detail {

/// Positions near no motif or partner, in loops and linkers: insertions and deletions happen there.
inline bool tolerates_gap(std::span<Site const> sites, std::size_t position) {
  auto const begin = position < 3 ? 0 : position - 3;
  auto const nearby = sites.subspan(begin, std::min(position + 4, sites.size()) - begin);
  auto const environment = sites[position].environment;
  return position != 0 &&
         (environment == Environment::loop || environment == Environment::linker) &&
         std::ranges::all_of(nearby, [](Site const& s) { return s.role == Role::background; });
}

/// One insertion or deletion of one to six residues, where a random place tolerates it.
inline void insert_or_delete(RandomSequence& random, Lineage& lineage) {
  auto& sites = lineage.sites;
  auto const position = random.below(static_cast<std::uint32_t>(sites.size()));
  auto const length = between(random, 1, 6);
  auto const insertion = random.below(2) == 0;
  if (!tolerates_gap(sites, position)) return;
  auto const place = sites.begin() + position;
  if (insertion) {
    if (length > lineage.insertable) return;
    auto inserted = std::vector<Site>{};
    for (auto i = std::uint32_t{0}; i < length; ++i) {
      inserted.push_back(draw_site(random, Environment::loop));
    }
    sites.insert(place, inserted.begin(), inserted.end());
    lineage.insertable -= length;
  } else {
    auto count = std::uint32_t{0};
    while (count < std::min(length, lineage.deletable) && position + count < sites.size() &&
           tolerates_gap(sites, position + count)) {
      ++count;
    }
    sites.erase(place, place + count);
    lineage.deletable -= count;
  }
}

/// Evolves a lineage along a branch of `duration` units of time, in each of which a site has at
/// most one substitution event and the protein at most one gap for every 100 residues.
inline void evolve(RandomSequence& random, std::uint32_t duration, Lineage& lineage) {
  for (auto time = std::uint32_t{0}; time < duration; ++time) {
    for (auto& site : lineage.sites) {
      if (random.below(1024) >= site.rate) continue;
      site.residue = substitute(random, site.environment, site.residue, site.allowed);
    }
    for (auto i = std::size_t{0}; i < lineage.sites.size(); i += 100) {
      if (random.below(8) == 0) insert_or_delete(random, lineage);
    }
    for (auto const& partner : partners) {
      if (random.below(8) == 0) draw_contacts(random, partner.ligand, lineage);
    }
  }
}

/// The protein at a leaf: binding residues are positive where the partner is present.
inline Protein as_protein(Lineage const& lineage, std::string id) {
  auto protein = Protein{.id = std::move(id), .sequence = {}, .labels = {}};
  for (auto const& site : lineage.sites) {
    auto const active = lineage.partner_present[static_cast<std::size_t>(site.ligand)];
    protein.sequence.push_back(residues[site.residue]);
    protein.labels.push_back(site.binds && active ? label_positive : label_negative);
  }
  return protein;
}

/// Grows a subtree of `leaves` members under `node`; a random number of them goes to each side.
inline void grow(RandomSequence& random, Lineage const& node, std::uint32_t leaves,
                 std::string const& name, std::vector<Protein>& members) {
  if (leaves == 1) {
    members.push_back(as_protein(node, name + "_" + std::to_string(members.size() + 1)));
    return;
  }
  auto const left = between(random, 1, leaves - 1);
  for (auto const count : {left, leaves - left}) {
    auto child = node;
    evolve(random, between(random, 1, 3), child);
    grow(random, child, count, name, members);
  }
}

}  // namespace detail

/// The members of a family, called `name`_1, `name`_2, .... Each ligand's partner is, with equal
/// chances, kept by all members, lost by all, kept by one half or by the other: the same window of
/// residues binds in some members and is a decoy in their cousins. `members` must not be 0.
inline std::vector<Protein> draw_family(RandomSequence& random, std::string const& name,
                                        std::uint32_t members) {
  auto halves = std::array{draw_root(random), Lineage{}};
  halves[1] = halves[0];
  for (auto const& partner : partners) {
    auto const kept = random.below(4);  // bit h: by half h
    for (auto half = std::size_t{0}; half < 2; ++half) {
      if (!(kept >> half & 1u)) lose_partner(random, partner.ligand, halves[half]);
    }
  }
  auto proteins = std::vector<Protein>{};
  for (auto half = std::uint32_t{0}; half < 2; ++half) {
    auto const leaves = (members + 1 - half) / 2;
    if (leaves == 0) continue;
    detail::evolve(random, detail::between(random, 1, 3), halves[half]);
    detail::grow(random, halves[half], leaves, name, proteins);
  }
  return proteins;
}

}  // namespace qlora::inline v1::synth
