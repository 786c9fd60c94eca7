#include <string>

#include <gtest/gtest.h>

#include <qlora/synth/motif.hpp>

namespace {
using namespace qlora;

/// The letters under the marks of a motif.
std::string binding_residues(synth::Motif const& motif) {
  auto letters = std::string{};
  for (auto i = std::size_t{0}; i < motif.pattern.size(); ++i) {
    if (motif.binding[i] == '^') letters += motif.pattern[i];
  }
  return letters;
}

TEST(Motif, MarksTheResiduesThatBind) {
  auto const expected =
      std::array<std::string, 12>{"GxxxxGKo", "GxGxxG", "GxGxhGxV", "HIGH", "HEH",  "CC",
                                  "DDDxE",    "CCHH",   "GHSxG",    "QGSC", "DTGo", "SGTS"};
  for (auto i = std::size_t{0}; i < synth::motifs.size(); ++i) {
    EXPECT_EQ(binding_residues(synth::motifs[i]), expected[i]) << synth::motifs[i].name;
  }
}

TEST(Motif, PartnersComeInTheOrderOfLigandsAndCarryNoSite) {
  for (auto i = std::size_t{0}; i < synth::ligands; ++i) {
    EXPECT_EQ(synth::partners[i].ligand, static_cast<synth::Ligand>(i));
    EXPECT_EQ(binding_residues(synth::partners[i]), "");
  }
}

}  // namespace
