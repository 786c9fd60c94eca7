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

constexpr auto mebibyte = std::size_t{1} << 20;

struct Format {
  std::string name;
  std::string head;
  std::function<std::string(std::string const& id)> record;
};

std::vector<Format> formats() {
  auto const sequence = std::string{"MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"};
  auto const labels = std::string(10, '0') + "1" + std::string(sequence.size() - 11, '0');
  return {
      {"a.fasta", "", [=](auto const& id) { return ">" + id + "\n" + sequence + "\n"; }},
      {"a.txt", "",
       [=](auto const& id) { return ">" + id + "\n" + sequence + "\n" + labels + "\n"; }},
      {"a.tsv", "Entry\tSequence\tBinding site\n",
       [=](auto const& id) { return id + "\t" + sequence + "\tBINDING 11; /ligand=\"ATP\"\n"; }},
      {"a.dat", "", [=](auto const& id) {
         return "ID   " + id + "   Reviewed;   33 AA.\nAC   " + id +
                ";\nFT   BINDING         11\nFT                   /ligand=\"ATP\"\n"
                "SQ   SEQUENCE   33 AA;  3800 MW;  0000000000000000 CRC64;\n     " +
                sequence + "\n//\n";
       }}};
}

/// A file of that format and about that size, with `end` behind it.
std::string file(Format const& format, std::size_t bytes, std::string const& end = "") {
  auto content = format.head;
  for (auto i = 100'000; content.size() < bytes; ++i) {
    content += format.record("P" + std::to_string(i));
  }
  return content + end;
}

/// Of the program where it reads nothing. To be asked while this process, whose memory counts until
/// the program's own does, has little.
std::size_t peak_of_nothing(Program const& program) {
  static auto const bytes = program.done({"--version"}).peak_bytes;
  return bytes;
}

void expect_bounded(Program const& program, Format const& format, std::string const& content,
                    int status) {
  SCOPED_TRACE(format.name);
  program.write(format.name, content);
  auto const outcome = program.run({"inspect", format.name});
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_LE(outcome.peak_bytes, peak_of_nothing(program) + 64 * mebibyte + 4 * content.size());
}

TEST(Memory, IsBoundedByTheFile) {
  auto const program = Program{};
  ASSERT_GT(peak_of_nothing(program), 0u);
  for (auto const& format : formats()) {
    expect_bounded(program, format, file(format, 24 * mebibyte), 0);
    expect_bounded(program, format, file(format, 24 * mebibyte, "\x01\xff\n"), 2);
  }
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
