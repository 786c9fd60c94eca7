// Files of any size are read, or refused, in memory that their size bounds.
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

#if !defined(__SANITIZE_ADDRESS__)  // which keeps what is freed

constexpr auto nano = QLORA_SOURCE_DIR "/examples/data/nano-esm2";
constexpr auto mebibyte = std::size_t{1} << 20;

struct Format {
  std::string name;
  std::string head;
  std::function<std::string(std::string const& id)> record;
};

/// Records of a protein whose second residue is a site.
std::vector<Format> formats(std::string const& sequence) {
  auto const labels = "01" + std::string(sequence.size() - 2, '0');
  auto const length = std::to_string(sequence.size()) + " AA";
  return {{"a.fasta", "", [=](auto const& id) { return ">" + id + "\n" + sequence + "\n"; }},
          {"a.txt", "",
           [=](auto const& id) { return ">" + id + "\n" + sequence + "\n" + labels + "\n"; }},
          {"a.tsv", "Entry\tSequence\tBinding site\n",
           [=](auto const& id) { return id + "\t" + sequence + "\tBINDING 2; /ligand=\"ATP\"\n"; }},
          {"a.dat", "", [=](auto const& id) {
             return "ID   " + id + "   Reviewed;   " + length + ".\nAC   " + id +
                    ";\nFT   BINDING         2\nFT                   /ligand=\"ATP\"\nSQ   "
                    "SEQUENCE   " +
                    length + ";  3800 MW;  0000000000000000 CRC64;\n     " + sequence + "\n//\n";
           }}};
}

/// A file of that format and about that size, with `end` behind it.
std::string file(Format const& format, std::size_t bytes, std::string const& end = "") {
  auto content = format.head;
  for (auto i = 0; content.size() < bytes; ++i) content += format.record(std::to_string(i));
  return content + end;
}

/// Of the program where it reads nothing. To be asked while this process, whose memory counts until
/// the program's own does, has little.
std::size_t peak_of_nothing(Program const& program) {
  static auto const bytes = program.done({"--version"}).peak_bytes;
  return bytes;
}

/// `command` is to have the file's name behind it.
void expect_bounded(Program const& program, Format const& format, std::string const& content,
                    int status, std::vector<std::string> command = {"inspect"},
                    std::string const& says = "") {
  SCOPED_TRACE(command.front() + " " + format.name);
  program.write(format.name, content);
  command.push_back(format.name);
  auto const outcome = program.run(command);
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_NE(outcome.err.find(says), std::string::npos) << outcome.err;
  EXPECT_LE(outcome.peak_bytes, peak_of_nothing(program) + 64 * mebibyte + 4 * content.size());
}

TEST(Memory, IsBoundedByTheFile) {
  auto const program = Program{};
  ASSERT_GT(peak_of_nothing(program), 0u);
  for (auto const& format : formats("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ")) {
    expect_bounded(program, format, file(format, 24 * mebibyte), 0);
    expect_bounded(program, format, file(format, 24 * mebibyte, "\x01\xff\n"), 2);
  }
}

/// Which are much larger in memory than in the file: nothing is kept of one that is refused.
TEST(Memory, IsBoundedForTinyRecords) {
  auto const program = Program{};
  ASSERT_GT(peak_of_nothing(program), 0u);
  for (auto const& format : formats("AC")) {
    expect_bounded(program, format, file(format, 24 * mebibyte), 0);
    auto const content = file(format, 24 * mebibyte, "\x01\xff\n");
    expect_bounded(program, format, content, 2);
    expect_bounded(program, format, content, 2, {"prepare", "--out", "prepared", "--input"});
    expect_bounded(
        program, format, content, 2,
        format.name == "a.fasta"
            ? std::vector<std::string>{"predict", "--model", nano, "--out", "sites.tsv", "--fasta"}
            : std::vector<std::string>{"evaluate", "--model", nano, "--data"});
  }
}

/// Structures and tables that proteins are looked up in.
TEST(Memory, IsBoundedForWhatGoesWithProteins) {
  auto const program = Program{};
  ASSERT_GT(peak_of_nothing(program), 0u);
  program.write("data.txt", ">p\nAC\n01\n");
  auto const structure =
      Format{"a.cif",
             "loop_\n_atom_site.auth_comp_id\n_atom_site.auth_asym_id\n_atom_site.auth_seq_id\n"
             "_atom_site.B_iso_or_equiv\n",
             [](auto const& id) { return "ALA " + id + " 1 0\n"; }};
  auto const predict =
      std::vector<std::string>{"predict", "--model", nano, "--out", "out.cif", "--structure"};
  expect_bounded(program, structure, file(structure, 24 * mebibyte, "ALA A 1\n"), 2, predict,
                 "expected 4 values of an atom, found 3");
  auto const ligand = Format{"b.cif", structure.head, [](auto const&) { return "L A 1 0\n"; }};
  expect_bounded(program, ligand, file(ligand, 24 * mebibyte), 2, predict,
                 "expected atoms of a protein");
  auto long_row = std::string{};
  for (auto i = 0; i < 8 << 20; ++i) long_row += "A ";
  expect_bounded(program, ligand, ligand.head + long_row + "\n", 2, predict, "found more");
  auto const groups = Format{"groups.tsv", "chunk\tprotein\toffset\tfamily\tgroup\tsplit\n",
                             [](auto const& id) { return id + "\tp" + id + "\t\t\tg\tx\n"; }};
  expect_bounded(program, groups, file(groups, 24 * mebibyte, "p1\t\t\t\th\tx\n"), 2,
                 {"evaluate", "--model", nano, "--data", "data.txt", "--groups"},
                 "expected 'p1' in one group, found another: 'h'");
  auto const clusters =
      Format{"clusters.tsv", "", [](auto const& id) { return "r\t" + id + "\n"; }};
  program.write(clusters.name, file(clusters, 24 * mebibyte, "r\t1\n"));
  auto const outcome = program.run({"prepare", "--input", "data.txt", "--split",
                                    "clusters:" + clusters.name, "--out", "prepared"});
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("expected each member once"), std::string::npos) << outcome.err;
  EXPECT_LE(outcome.peak_bytes, peak_of_nothing(program) + (64 + 4 * 24) * mebibyte);
}

/// What a header claims to follow is asked for of the file, not of memory.
TEST(Memory, IsBoundedWhateverAHeaderClaims) {
  auto const program = Program{};
  auto header = std::string{R"({"a":{"dtype":"F32","shape":[1099511627776],)"
                            R"("data_offsets":[0,4398046511104]}})"};
  auto content = std::string{static_cast<char>(header.size())} + std::string(7, '\0') + header;
  expect_bounded(program, {"model.safetensors", "", {}}, content, 2);
  expect_bounded(program, {"long.safetensors", "", {}}, std::string(7, '\xff') + "\x0f", 2);
  expect_bounded(program, {"checkpoint.safetensors", "", {}}, std::string(1 << 20, '{'), 2);
  header = "{\"" + std::string(64 * mebibyte, 'a');
  expect_bounded(program, {"open.safetensors", "", {}}, safetensors_bytes(header, ""), 2);
}

#endif

}  // namespace
}  // namespace qlora::testing
