// Coordinates: chains come out as the authors name them, numbers go into the right columns.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/error.hpp>
#include <qlora/predict/structure.hpp>

#include "support/errors.hpp"
#include "support/files.hpp"

namespace qlora::predict {
namespace {

/// Two chains, one of them with an insertion code and a modified residue; water, DNA, two models.
constexpr auto pdb =
    "HEADER    EXAMPLE\n"
    "MODEL        1\n"
    "ATOM      1  N   MET A  10      11.104   6.134  -6.504  1.00 12.34           N\n"
    "ATOM      2  CA  MET A  10      11.639   6.071  -5.147  1.00 12.34           C\n"
    "ATOM      3  N   GLY A  10A     12.104   6.134  -6.504  1.00  5.00           N\n"
    "HETATM    4  N   MSE B   1      13.104   6.134  -6.504  1.00  5.00           N\r\n"
    "ATOM      5  N   TRP A  11      14.104   6.134  -6.504  1.00  5.00           N\n"
    "ATOM      6  P    DA C   1      15.104   6.134  -6.504  1.00  5.00           P\n"
    "HETATM    7  O   HOH A 201      16.104   6.134  -6.504  1.00 99.99           O\n"
    "HETATM    8  N   GLU A 800      17.104   6.134  -6.504  1.00 99.99           N\n"
    "ENDMDL\n"
    "MODEL        2\n"
    "ATOM      1  N   MET A  10      11.104   6.134  -6.504  1.00 12.34           N\n"
    "ENDMDL\nEND\n";

constexpr auto mmcif =
    "data_EXAMPLE\n#\nloop_\n_atom_site.group_PDB\n_atom_site.label_atom_id \n"
    "_atom_site.label_comp_id\n_atom_site.label_asym_id\n_atom_site.label_seq_id\n"
    "_atom_site.pdbx_PDB_ins_code\n_atom_site.B_iso_or_equiv\n_atom_site.auth_seq_id\n"
    "_atom_site.auth_asym_id\n_atom_site.pdbx_PDB_model_num\n"
    "ATOM   \"C5'\" MET A 1 ? 12.34 10 X 1\n"
    "ATOM   N     GLY A 2 A 5     10 X 1\n"
    "ATOM   N     TRP A 3 ? 5.0   11 X 1\n"
    "# a comment\n\n"
    "HETATM O     HOH B . ? 99.99 201 X 1\n"
    "HETATM N     GLU C . ? 99.99 800 X 1\n"
    "#\n_other.value 12.34\n";

std::string replaced(std::string text, std::string const& what, std::string const& by) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

TEST(Structure, ReadsAndColoursPdb) {
  auto const folder = testing::TemporaryFolder{};
  auto const structure = Structure::read(folder.write("a.pdb", pdb));
  ASSERT_EQ(structure.chains().size(), 2u);
  EXPECT_EQ(structure.chains()[0].id, "A");
  EXPECT_EQ(structure.chains()[0].sequence, "MGW");
  EXPECT_EQ(structure.chains()[1].id, "B");
  EXPECT_EQ(structure.chains()[1].sequence, "M");
  auto const coloured =
      structure.with_b_factors(std::vector<std::vector<float>>{{.5f, 1.f, 0.f}, {.125f}});
  auto expected = replaced(pdb, " 12.34 ", " 50.00 ");
  expected = replaced(expected, "10A     12.104   6.134  -6.504  1.00  5.00",
                      "10A     12.104   6.134  -6.504  1.00100.00");
  expected = replaced(expected, "13.104   6.134  -6.504  1.00  5.00",
                      "13.104   6.134  -6.504  1.00 12.50");
  for (auto const* const x : {"14.104", "15.104"}) {
    expected = replaced(expected, std::string{x} + "   6.134  -6.504  1.00  5.00",
                        std::string{x} + "   6.134  -6.504  1.00  0.00");
  }
  EXPECT_EQ(coloured, replaced(expected, " 99.99 ", "  0.00 "));
}

TEST(Structure, ReadsAndColoursMmcif) {
  auto const folder = testing::TemporaryFolder{};
  auto const structure = Structure::read(folder.write("a.cif", mmcif));
  ASSERT_EQ(structure.chains().size(), 1u);
  EXPECT_EQ(structure.chains()[0].id, "X");  // the authors' name
  EXPECT_EQ(structure.chains()[0].sequence, "MGW");
  auto expected = replaced(mmcif, "? 12.34 10", "? 50.00 10");
  expected = replaced(expected, "A 5     10", "A 100.00     10");
  expected = replaced(expected, "? 5.0   11", "? 25.00   11");
  expected = replaced(expected, "99.99", "0.00");
  EXPECT_EQ(structure.with_b_factors(std::vector<std::vector<float>>{{.5f, 1.f, .25f}}), expected);
}

TEST(Structure, RefusesWhatIsNone) {
  auto const folder = testing::TemporaryFolder{};
  auto const message = [&](std::string const& text) {
    return testing::message_of<InputError>([&] { Structure::read(folder.write("x", text)); });
  };
  EXPECT_NE(message("").find("expected atoms of a protein"), std::string::npos);
  EXPECT_NE(message(">p\nMKV\n").find("expected atoms of a protein"), std::string::npos);
  EXPECT_NE(
      message("HEADER\nATOM      1  N   MET A  10\n").find("x:2: expected an atom of at least 66"),
      std::string::npos);
  EXPECT_NE(
      message(replaced(mmcif, " 11 X 1", " 11 X")).find("expected 10 values of an atom, found 9"),
      std::string::npos);
  EXPECT_NE(message(replaced(mmcif, "B_iso_or_equiv", "B_other")).find("_atom_site.B_iso_or_equiv"),
            std::string::npos);
  EXPECT_NE(message(replaced(mmcif, "\"C5'\"", "\"C5'")).find("closing quote"), std::string::npos);
  auto const name = std::string{"expected a chain's name without blanks and control characters, "};
  EXPECT_NE(message(replaced(pdb, "MET A", "MET \t")).find("x:3: " + name + "found '?'"),
            std::string::npos);
  EXPECT_NE(message(replaced(mmcif, " 11 X 1", " 11 'X\tY' 1")).find("x:16: " + name),
            std::string::npos);
  EXPECT_NE(message(replaced(mmcif, " 11 X 1", " 11 'X Y' 1")).find("found 'X Y'"),
            std::string::npos);
  auto const structure = Structure::read(folder.write("a.pdb", pdb));
  EXPECT_THROW(structure.with_b_factors(std::vector<std::vector<float>>{{1.f}}), ShapeError);
}

}  // namespace
}  // namespace qlora::predict
