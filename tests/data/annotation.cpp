#include <gtest/gtest.h>

#include <qlora/data/annotation.hpp>

namespace {
using namespace qlora;

TEST(Evidence, IsTheStrongestCode) {
  EXPECT_EQ(evidence_of(""), Evidence::any);
  EXPECT_EQ(evidence_of("ECO:0000256|RuleBase:RU1"), Evidence::any);
  EXPECT_EQ(evidence_of("ECO:0000250|UniProtKB:P1"), Evidence::manual);
  EXPECT_EQ(evidence_of("ECO:0000256, ECO:0000305"), Evidence::manual);
  EXPECT_EQ(evidence_of("ECO:0000305, ECO:0007744|PDB:1ABC"), Evidence::experimental);
  EXPECT_EQ(evidence_of("ECO:0000269|PubMed:1"), Evidence::experimental);
}

}  // namespace
