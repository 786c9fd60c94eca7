#include <array>

#include <gtest/gtest.h>

#include <qlora/synth/substitution.hpp>

namespace {
using namespace qlora;

constexpr auto all_environments =
    std::array{synth::Environment::helix_buried,  synth::Environment::helix_exposed,
               synth::Environment::strand_buried, synth::Environment::strand_exposed,
               synth::Environment::loop,          synth::Environment::linker};

std::uint64_t weight(synth::detail::Cumulative const& sums, std::size_t i) {
  return sums[i] - (i == 0 ? 0 : sums[i - 1]);
}

TEST(Substitution, IsReversible) {
  for (auto const environment : all_environments) {
    auto const& process = synth::detail::process_of(environment);
    for (auto i = std::size_t{0}; i < 20; ++i) {
      EXPECT_EQ(weight(process.rows[i], i), 0u);
      EXPECT_LE(process.rows[i].back(), process.largest_row);
      for (auto j = std::size_t{0}; j < 20; ++j) {
        EXPECT_EQ(weight(process.equilibrium, i) * weight(process.rows[i], j),
                  weight(process.equilibrium, j) * weight(process.rows[j], i));
      }
    }
  }
}

TEST(Substitution, PrefersAlikeResidues) {
  auto const exchangeability = [](char a, char b) {
    return synth::detail::exchangeability(synth::residues.find(a), synth::residues.find(b));
  };
  EXPECT_GT(exchangeability('I', 'V'), exchangeability('I', 'A'));
  EXPECT_GT(exchangeability('K', 'R'), exchangeability('K', 'E'));
  EXPECT_GT(exchangeability('F', 'Y'), exchangeability('G', 'W'));
}

TEST(Substitution, KeepsTheEquilibrium) {
  // 200,000 draws: the standard deviation of a frequency is at most 0.0012.
  constexpr auto draws = 200'000;
  for (auto const environment : all_environments) {
    auto random = RandomSequence{{.seed = 3}};
    auto counts = std::array<int, 20>{};
    for (auto i = 0; i < draws; ++i) {
      auto residue = synth::draw_residue(random, environment, synth::any_residue);
      for (auto event = 0; event < 3; ++event) {
        residue = synth::substitute(random, environment, residue, synth::any_residue);
      }
      ++counts[residue];
    }
    auto const& sums = synth::detail::process_of(environment).equilibrium;
    for (auto i = std::size_t{0}; i < 20; ++i) {
      auto const expected = static_cast<double>(weight(sums, i)) / sums.back();
      EXPECT_NEAR(static_cast<double>(counts[i]) / draws, expected, 0.006) << synth::residues[i];
    }
  }
}

TEST(Substitution, StaysWithinWhatIsAllowed) {
  auto random = RandomSequence{{.seed = 4}};
  auto const allowed = synth::residue_set("ILV");
  auto residue = synth::draw_residue(random, synth::Environment::loop, allowed);
  auto seen = synth::ResidueSet{0};
  for (auto i = 0; i < 1'000; ++i) {
    residue = synth::substitute(random, synth::Environment::loop, residue, allowed);
    seen |= 1u << residue;
  }
  EXPECT_EQ(seen, allowed);
}

}  // namespace
