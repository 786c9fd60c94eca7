#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/data/pickled.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::TemporaryFolder;
using namespace std::string_literals;

std::vector<Protein> read_pickled(std::filesystem::path const& path) {
  auto proteins = std::vector<Protein>{};
  for_each_pickled(path, [&](Protein&& protein) { proteins.push_back(std::move(protein)); });
  return proteins;
}

TEST(Pickled, ReadsEveryProtocolFromEitherFile) {
  auto const goldens = std::filesystem::path{QLORA_TEST_DATA} / "pickled";
  for (auto protocol = 0; protocol <= 5; ++protocol) {
    auto const prefix = "protocol" + std::to_string(protocol) + "_";
    auto const expected =
        std::vector<Protein>{{prefix + "1", "MKV", {0, 1, 0}},
                             {prefix + "2", "WHCXLAGVST", {0, 0, 1, 1, -1, 0, 0, 0, 0, 1}},
                             {prefix + "3", "Y", {1}}};
    for (auto const* const what : {"sequences", "labels"}) {
      auto const path = goldens / (prefix + what + "_chunked_by_family.pkl");
      EXPECT_TRUE(is_pickle(testing::read_file(path).substr(0, 4))) << path;
      EXPECT_EQ(read_pickled(path), expected) << path;
    }
  }
}

TEST(Pickled, IsToldFromText) {
  for (auto const* const text :
       {">id\nMKV\n", "Entry\tSequence\n", "", "(", "]", "MKV", "ID   X"}) {
    EXPECT_FALSE(is_pickle(text)) << text;
  }
  EXPECT_FALSE(is_pickle("\x80\x06"));
  EXPECT_FALSE(is_pickle("\x80"));
}

TEST(Pickled, NamesItsPartner) {
  auto const pair = PickledPair::of("labels/test_labels_chunked_by_family.pkl.gz");
  EXPECT_EQ(pair.sequences, "labels/test_sequences_chunked_by_family.pkl.gz");
  EXPECT_EQ(pair.labels, "labels/test_labels_chunked_by_family.pkl.gz");
  EXPECT_EQ(PickledPair::of("sequences.pkl").labels, "labels.pkl");
  EXPECT_NE(input_error_of([] { PickledPair::of("a.pkl"); }).find("expected a pickle with"),
            std::string::npos);
}

/// What is said of these two files.
std::string pickled_error(std::string const& sequences, std::string const& labels) {
  auto const folder = TemporaryFolder{};
  folder.write("labels.pkl", labels);
  return input_error_of([&] { read_pickled(folder.write("sequences.pkl", sequences)); });
}

TEST(Pickled, RefusesWhatDoesNotFit) {
  auto const one = "](X\2\0\0\0MKe."s;
  auto const cases = std::vector<std::tuple<std::string, std::string, std::string>>{
      {one, "](](K\0K\1ee."s, "no error"},
      {one, "](](K\0ee."s, "labels.pkl: element 1: expected 2 labels as in"},
      {one, "](](K\0K\1e](e."s, "expected one value at the end, found several"},
      {one, "](](K\0K\1e]e."s, "labels.pkl: expected 1 lists of labels as in"},
      {one, "](](K\0K\2ee."s, "element 1: residue 2: expected a label 0, 1 or -100, found 2"},
      {one,
       "](](K\0J\xff\xff\xff\xff"
       "ee."s,
       "expected a label 0, 1 or -100, found -1"},
      {one,
       "](](K\0X\1\0\0\0"
       "1ee."s,
       "expected a label 0, 1 or -100, found a string"},
      {one,
       "](](K\0\x88"
       "ee."s,
       "expected a label 0, 1 or -100, found a truth value"},
      {one, "](K\0e."s, "labels.pkl: element 1: expected a list, found an integer"},
      {one,
       "](K\0K\1\x86"
       "e."s,
       "labels.pkl: element 1: expected a list, found a tuple"},
      {one, "K\0."s, "labels.pkl: expected a list, found an integer"},
      {one, "]q\0h\0a."s, "labels.pkl: element 1: expected 2 labels"},
      {one, "]q\0(h\0h\0e."s, "labels.pkl: expected 1 lists"},
      {"](K\1e."s, "](](K\0ee."s, "sequences.pkl: element 1: expected a string, found an integer"},
      {"](X\0\0\0\0e."s, "](]e."s, "element 1: expected a sequence, found an empty one"},
      {"](X\2\0\0\0M*e."s, "](](K\0K\1ee."s,
       "element 1: residue 2: expected a letter, found \"*\""},
      {"](X\2\0\0\0M\0e."s, "](](K\0K\1ee."s, "residue 2: expected a letter, found \"?\""},
      {"](X\2\0\0\0\xc3\xa9"
       "e."s,
       "](](K\0K\1ee."s, "residue 1: expected a letter"},
      {"].", "].", "expected sequences, found an empty list"},
      {"cos\nsystem\n(Vtrue\ntR.", "].", "found the global \"os.system\""},
      {one, "](](K\0K\1ee"s, "byte 10: expected an opcode, found the end"},
      {one, "](](K\0K\1ee.."s, "expected the end of the file, found 1 more"},
  };
  for (auto const& [sequences, labels, expected] : cases) {
    auto const error = pickled_error(sequences, labels);
    EXPECT_NE(error.find(expected), std::string::npos) << error << " lacks " << expected;
  }
  auto const folder = TemporaryFolder{};
  EXPECT_NE(input_error_of([&] {
              read_pickled(folder.write("labels.pkl", "]."));
            }).find("sequences.pkl: expected a file, found none"),
            std::string::npos);
}

TEST(Pickled, RefusesAProteinThatIsNamedOverAndOver) {
  // A thousand residues, ten thousand times by two bytes each.
  auto sequences = "](X\xe8\3\0\0"s + std::string(1000, 'M') + "q\0"s;
  auto labels = "](]q\0("s;
  for (auto i = 0; i < 1000; ++i) labels += "K\1"s;
  labels += "e";
  for (auto i = 0; i < 10'000; ++i) {
    sequences += "h\0"s;
    labels += "h\0"s;
  }
  EXPECT_NE(pickled_error(sequences + "e.", labels + "e.").find("found shared ones"),
            std::string::npos);
}

}  // namespace
}  // namespace qlora
