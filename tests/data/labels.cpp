#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/error.hpp>
#include <qlora/data/labels.hpp>
#include <qlora/data/uniprot_feature.hpp>

namespace {
using namespace qlora;

AnnotatedProtein protein(std::string_view features) {
  auto one =
      AnnotatedProtein{.id = "P1", .sequence = "MKVLAMKV", .labels = {}, .sites = {}, .family = {}};
  parse_features(features, one.sequence.size(), one.sites,
                 [](std::string const& sentence) { throw InputError{sentence}; });
  return one;
}

/// As a label line has it, or the reason.
std::string labelled(AnnotatedProtein const& one, LabelPolicy const& policy) {
  auto const [labels, skipped] = label(one, policy);
  auto text = std::string{skipped};
  for (auto const value : labels) text += value == label_unknown ? '-' : value != 0 ? '1' : '0';
  return text;
}
std::string labelled(std::string_view features, LabelPolicy const& policy = {}) {
  return labelled(protein(features), policy);
}

TEST(Label, TakesTheUnionOfSites) {
  EXPECT_EQ(labelled("BINDING 2..3; ACT_SITE 3; ACT_SITE 8"), "01100001");
  EXPECT_EQ(labelled("BINDING 2..3; ACT_SITE 8", {.active = false}), "01100000");
  EXPECT_EQ(labelled("BINDING 2..3; ACT_SITE 8", {.binding = false}), "00000001");
}

TEST(Label, KnowsNoNegativesWithoutTheLeadingKind) {
  EXPECT_EQ(labelled("ACT_SITE 8"), "-------1");
  EXPECT_EQ(labelled("ACT_SITE 8", {.unannotated = Unannotated::negative}), "00000001");
  EXPECT_EQ(labelled("ACT_SITE 8", {.binding = false}), "00000001");
  EXPECT_EQ(labelled("BINDING 8"), "00000001");
  EXPECT_EQ(labelled("ACT_SITE 8", {.active = false}), skip_reason::no_site);
  EXPECT_EQ(labelled(""), skip_reason::no_site);
}

TEST(Label, LeavesWeakerEvidenceUnknown) {
  auto const text =
      "BINDING 1; BINDING 2; /evidence=\"ECO:0000250\"; BINDING 3; /evidence=\"ECO:0000269\"; "
      "BINDING 2..3; ACT_SITE 8";
  EXPECT_EQ(labelled(text, {.evidence = Evidence::any}), "11100001");
  EXPECT_EQ(labelled(text, {.evidence = Evidence::manual}), "-110000-");
  EXPECT_EQ(labelled(text, {.evidence = Evidence::experimental}), "--10000-");
  EXPECT_EQ(labelled("BINDING 1", {.evidence = Evidence::manual}), skip_reason::no_site);
}

TEST(Label, ChoosesALigandByNameOrIdentifier) {
  auto const text =
      "BINDING 1; /ligand=\"ATP\"; /ligand_id=\"ChEBI:CHEBI:30616\"; BINDING 3; /ligand=\"ADP\"; "
      "ACT_SITE 8";
  for (auto const ligand : {"atp", "30616", "CHEBI:30616", "ChEBI:CHEBI:30616"}) {
    EXPECT_EQ(labelled(text, {.ligand = ligand}), "10-00000") << ligand;
  }
  EXPECT_EQ(labelled(text, {.ligand = "GTP"}), skip_reason::no_site);
  EXPECT_EQ(labelled("BINDING 1", {.ligand = "616"}), skip_reason::no_site);
}

TEST(Label, SkipsPlacesThatCannotBeUsed) {
  EXPECT_EQ(labelled("BINDING 1; BINDING ?4"), skip_reason::uncertain_position);
  EXPECT_EQ(labelled("BINDING 1; BINDING P1-2:4"), skip_reason::other_isoform);
  EXPECT_EQ(labelled("BINDING ?; ACT_SITE 8", {.binding = false}), "00000001");
}

TEST(Label, KeepsLabelsOfTheFile) {
  auto one = protein("");
  one.labels = {0, 1, -1, 0, 0, 0, 0, 0};
  EXPECT_EQ(labelled(one, {}), "01-00000");
  EXPECT_EQ(labelled(one, {.evidence = Evidence::experimental}), "01-00000");
  EXPECT_EQ(labelled(one, {.binding = false}), skip_reason::no_site);
  EXPECT_EQ(labelled(one, {.ligand = "ATP"}), skip_reason::no_site);
  one.labels.assign(8, label_unknown);
  EXPECT_EQ(labelled(one, {}), skip_reason::no_labels);
}

TEST(Label, RefusesAPolicyOfNothing) {
  EXPECT_THROW(check({.binding = false, .active = false}), InputError);
  EXPECT_THROW(check({.binding = false, .ligand = "ATP"}), InputError);
  EXPECT_NO_THROW(check(LabelPolicy{}));
}

}  // namespace
