#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/yu.hpp>

#include "reading.hpp"

namespace {
using namespace qlora;
using qlora::testing::refusal;
using qlora::testing::TextFile;

std::vector<AnnotatedProtein> read_chains(std::filesystem::path const& path) {
  auto chains = std::vector<AnnotatedProtein>{};
  for_each_yu(path, [&](AnnotatedProtein&& chain) { chains.push_back(std::move(chain)); });
  return chains;
}

TEST(Yu, ReadsChainsWithAndWithoutAHeader) {
  auto const chains = read_chains(
      TextFile{"pdb_id;chain_id;binding_residues;sequence\r\n1abc;A;K2 L4;mkvl\r\n1abc;B;;MK\r\n"}
          .path());
  ASSERT_EQ(chains.size(), 2u);
  EXPECT_EQ(chains[0].id, "1abc_A");
  EXPECT_EQ(chains[0].sequence, "MKVL");
  EXPECT_EQ(chains[0].labels, (std::vector<std::int8_t>{0, 1, 0, 1}));
  EXPECT_EQ(chains[1].labels, (std::vector<std::int8_t>{0, 0}));
  EXPECT_EQ(read_chains(TextFile{"1abc;A;M1;MK"}.path())[0].labels,
            (std::vector<std::int8_t>{1, 0}));
}

TEST(Yu, RefusesBrokenChains) {
  EXPECT_EQ(refusal("pdb_id;chain_id;binding_residues;sequence\n", read_chains),
            ": expected chains, found none");
  EXPECT_EQ(refusal("1abc;A;K2\n", read_chains),
            ":1: expected pdb_id;chain_id;binding_residues;sequence, found 3 fields");
  EXPECT_EQ(refusal(";A;K2;MK\n", read_chains), ":1: expected a PDB id and a chain, found none");
  EXPECT_EQ(refusal("1abc;A;K2;\n", read_chains),
            ":1: expected a sequence for '1abc_A', found none");
  auto const expected = std::string{
      ":1: expected a residue and its position, from 1 to 2, as the sequence has it, found '"};
  for (auto const word : {"K1", "K3", "K0", "K", "2", "K2x", "K99999999999999999999"}) {
    EXPECT_EQ(refusal("1abc;A;" + std::string{word} + ";MK\n", read_chains), expected + word + "'");
  }
  EXPECT_EQ(refusal("", read_chains), ": expected chains, found none");
  EXPECT_EQ(refusal("1abc;A;K2;MK*\n", read_chains).substr(0, 3), ":1:");
  EXPECT_EQ(refusal("1abc;A;;MK\n1abc;A;;MK\n", read_chains),
            ":2: expected a new identifier, found '1abc_A' again");
}

}  // namespace
