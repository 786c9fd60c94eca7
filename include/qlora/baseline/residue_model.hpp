/// Floors under a study: what composition, and a few neighbours in the sequence, tell of sites.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/data/alphabet.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1::baseline {

/// Naive Bayes on the residues at most `Radius` places away: the sum of log p(residue | site) /
/// p(residue | no site) over those places, from counts plus one. With a radius of 0 it is a
/// residue's own frequency among sites. Places beyond the ends count as a letter of their own.
template <int Radius>
class ResidueModel {
  static_assert(Radius >= 0, "a window has a radius of at least 0");

 public:
  static constexpr std::string_view name = Radius == 0 ? "residue frequency" : "window";

  /// Throws InputError unless residues of both classes are labelled.
  void fit(std::span<Protein const> proteins) {
    auto counts = Counts{};
    for (auto& place : counts) {
      for (auto& of_class : place) of_class.fill(1.);
    }
    auto known = std::array<std::int64_t, 2>{};
    for (auto const& protein : proteins) {
      for (auto i = std::size_t{0}; i < protein.labels.size(); ++i) {
        if (!is_known(protein.labels[i])) continue;
        auto const of_class = class_of(protein.labels[i]);
        ++known[of_class];
        for_each_place(protein, i, [&](std::size_t place, std::size_t letter) {
          counts[place][of_class][letter] += 1.;
        });
      }
    }
    if (known[0] == 0 || known[1] == 0) {
      throw InputError{std::string{name} +
                       ": expected residues of both classes, found none labelled " +
                       (known[0] == 0 ? "0" : "1")};
    }
    for (auto place = std::size_t{0}; place < places; ++place) {
      auto const total = [&](std::size_t of_class) {
        return static_cast<double>(known[of_class]) + letters;
      };
      for (auto letter = std::size_t{0}; letter < letters; ++letter) {
        odds_[place][letter] = std::log(counts[place][1][letter] / total(1)) -
                               std::log(counts[place][0][letter] / total(0));
      }
    }
  }

  /// A log-odds for each residue, at equal priors: above 0 speaks for a site.
  std::vector<float> margins(Protein const& protein) const {
    auto margins = std::vector<float>(protein.sequence.size());
    for (auto i = std::size_t{0}; i < margins.size(); ++i) {
      auto sum = 0.;
      for_each_place(protein, i,
                     [&](std::size_t place, std::size_t letter) { sum += odds_[place][letter]; });
      margins[i] = static_cast<float>(sum);
    }
    return margins;
  }

 private:
  static constexpr auto places = static_cast<std::size_t>(2 * Radius + 1);
  static constexpr auto letters = static_cast<std::size_t>(alphabet::vocabulary_size);
  using Counts = std::array<std::array<std::array<double, letters>, 2>, places>;

  template <class Body>
  static void for_each_place(Protein const& protein, std::size_t i, Body&& body) {
    auto const& sequence = protein.sequence;
    for (auto place = std::size_t{0}; place < places; ++place) {
      auto const at = static_cast<std::ptrdiff_t>(i + place) - Radius;
      auto const inside = 0 <= at && at < static_cast<std::ptrdiff_t>(sequence.size());
      auto const token =
          inside ? alphabet::token_of(sequence[static_cast<std::size_t>(at)]) : alphabet::pad;
      body(place, static_cast<std::size_t>(token));
    }
  }

  std::array<std::array<double, letters>, places> odds_{};
};

using ResidueFrequency = ResidueModel<0>;
/// A turn or two of a helix to both sides.
using Window = ResidueModel<7>;

}  // namespace qlora::inline v1::baseline
