/// How a residue of a synthetic protein changes: a reversible substitution process for each
/// structural environment, in integers, so that every machine draws the same sequences.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <qlora/core/random.hpp>

namespace qlora::inline v1::synth {

/// Index into `residues`.
using Residue = std::uint8_t;
inline constexpr std::string_view residues = "ACDEFGHIKLMNPQRSTVWY";

/// What surrounds a site, and with it the residues that selection favours there.
enum class Environment : std::uint8_t {
  helix_buried,
  helix_exposed,
  strand_buried,
  strand_exposed,
  loop,
  linker
};
inline constexpr std::size_t environments = 6;

namespace detail {

/// Per residue in the order of `residues`: frequency in UniProtKB (per 10,000), hydropathy x 10
/// (Kyte and Doolittle, 1982), volume in cubic angstroms (Zamyatnin, 1972), charge, and
/// propensities x 100 for helix, strand and turn (Chou and Fasman, 1978).
struct Properties {
  int frequency, hydropathy, volume, charge, helix, strand, turn;
};
inline constexpr auto properties = std::array<Properties, 20>{{
    {825, 18, 89, 0, 142, 83, 66},      // A
    {137, 25, 109, 0, 70, 119, 119},    // C
    {545, -35, 111, -1, 101, 54, 146},  // D
    {675, -35, 138, -1, 151, 37, 74},   // E
    {386, 28, 190, 0, 113, 138, 60},    // F
    {707, -4, 60, 0, 57, 75, 156},      // G
    {227, -32, 153, 0, 100, 87, 95},    // H
    {596, 45, 167, 0, 108, 160, 47},    // I
    {584, -39, 169, 1, 114, 74, 101},   // K
    {966, 38, 167, 0, 121, 130, 59},    // L
    {242, 19, 163, 0, 145, 105, 60},    // M
    {406, -35, 114, 0, 67, 89, 156},    // N
    {470, -16, 113, 0, 57, 55, 152},    // P
    {393, -35, 144, 0, 111, 110, 98},   // Q
    {553, -45, 174, 1, 98, 93, 95},     // R
    {656, -8, 89, 0, 77, 75, 143},      // S
    {534, -7, 116, 0, 83, 119, 96},     // T
    {687, 42, 140, 0, 106, 170, 50},    // V
    {108, -9, 228, 0, 108, 137, 96},    // W
    {292, -13, 194, 0, 69, 147, 114},   // Y
}};

/// Symmetric; falls with the squared distance in hydropathy, volume and charge. At most 1,000.
constexpr std::uint64_t exchangeability(std::size_t a, std::size_t b) {
  auto const& x = properties[a];
  auto const& y = properties[b];
  auto const hydropathy = x.hydropathy - y.hydropathy;
  auto const volume = x.volume - y.volume;
  auto const charge = x.charge - y.charge;
  auto const distance = hydropathy * hydropathy / 9 + volume * volume / 16 + 200 * charge * charge;
  return static_cast<std::uint64_t>(100'000 / (100 + distance));
}

/// Equilibrium weights of an environment; they add up to about 65,536.
constexpr std::array<std::uint64_t, 20> equilibrium(Environment environment) {
  auto const weight = [&](Properties const& p) -> int {
    auto const buried = (70 + p.hydropathy) * (70 + p.hydropathy) / 100;
    auto const exposed = (70 - p.hydropathy) * (70 - p.hydropathy) / 100;
    switch (environment) {
      case Environment::helix_buried:
        return p.helix * buried;
      case Environment::helix_exposed:
        return p.helix * exposed;
      case Environment::strand_buried:
        return p.strand * buried;
      case Environment::strand_exposed:
        return p.strand * exposed;
      case Environment::loop:
        return p.turn * 49;
      case Environment::linker:
        return 100 * exposed;
    }
    return 0;
  };
  auto weights = std::array<std::uint64_t, 20>{};
  auto total = std::uint64_t{0};
  for (auto i = std::size_t{0}; i < 20; ++i) {
    weights[i] = static_cast<std::uint64_t>(properties[i].frequency) *
                 static_cast<std::uint64_t>(weight(properties[i]));
    total += weights[i];
  }
  for (auto& w : weights) w = w * 65'536 / total;
  return weights;
}

/// Running sums of weights, to draw from.
using Cumulative = std::array<std::uint32_t, 20>;

constexpr Cumulative cumulate(std::array<std::uint64_t, 20> const& weights) {
  auto sums = Cumulative{};
  auto sum = std::uint64_t{0};
  for (auto i = std::size_t{0}; i < 20; ++i) {
    sum += weights[i];
    sums[i] = static_cast<std::uint32_t>(sum);
  }
  return sums;
}

/// The residue whose weight covers `point`; `otherwise` when `point` lies beyond all of them.
constexpr Residue pick(Cumulative const& sums, std::uint32_t point, Residue otherwise) {
  for (auto i = std::size_t{0}; i < 20; ++i) {
    if (point < sums[i]) return static_cast<Residue>(i);
  }
  return otherwise;
}

/// The process of one environment: rows exchangeability x equilibrium without the diagonal. Rows
/// are drawn from up to the largest row's sum; what is missing to it is the chance of no change.
struct Process {
  Cumulative equilibrium;
  std::array<Cumulative, 20> rows;
  std::uint32_t largest_row;
};

inline constexpr auto processes = [] {
  auto all = std::array<Process, environments>{};
  for (auto e = std::size_t{0}; e < environments; ++e) {
    auto const weights = equilibrium(static_cast<Environment>(e));
    auto& process = all[e];
    process.equilibrium = cumulate(weights);
    for (auto from = std::size_t{0}; from < 20; ++from) {
      auto row = std::array<std::uint64_t, 20>{};
      for (auto to = std::size_t{0}; to < 20; ++to) {
        if (to != from) row[to] = exchangeability(from, to) * weights[to];
      }
      process.rows[from] = cumulate(row);
      process.largest_row = std::max(process.largest_row, process.rows[from].back());
    }
  }
  return all;
}();

constexpr detail::Process const& process_of(Environment environment) {
  return processes[static_cast<std::size_t>(environment)];
}

}  // namespace detail

/// A set of residues, bit i being residues[i].
using ResidueSet = std::uint32_t;
inline constexpr ResidueSet any_residue = (1u << 20) - 1;

constexpr bool contains(ResidueSet set, Residue residue) {
  return (set >> residue & 1u) != 0;
}

/// The set of the letters; letters that are no residue are not in it.
constexpr ResidueSet residue_set(std::string_view letters) {
  auto set = ResidueSet{0};
  for (auto const letter : letters) {
    if (auto const i = residues.find(letter); i != residues.npos) set |= 1u << i;
  }
  return set;
}

/// A residue of `allowed` from the environment's equilibrium; `allowed` must not be empty.
inline Residue draw_residue(RandomSequence& random, Environment environment, ResidueSet allowed) {
  auto const& sums = detail::process_of(environment).equilibrium;
  for (;;) {
    auto const residue = detail::pick(sums, random.below(sums.back()), 0);
    if (contains(allowed, residue)) return residue;
  }
}

/// What `residue` becomes by one event of the uniformised process (Jensen, 1953), often itself;
/// purifying selection rejects what is not in `allowed`.
inline Residue substitute(RandomSequence& random, Environment environment, Residue residue,
                          ResidueSet allowed) {
  auto const& process = detail::process_of(environment);
  auto const next = detail::pick(process.rows[residue], random.below(process.largest_row), residue);
  return contains(allowed, next) ? next : residue;
}

}  // namespace qlora::inline v1::synth
