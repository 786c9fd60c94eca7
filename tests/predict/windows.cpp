// Windows over long proteins: every residue counts once, and far from a cut.
#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/error.hpp>
#include <qlora/predict/windows.hpp>

namespace qlora::predict {
namespace {

Protein of_length(std::size_t residues) {
  auto sequence = std::string{};
  for (std::size_t i = 0; i < residues; ++i) sequence += static_cast<char>('A' + i % 26);
  return {.id = "p" + std::to_string(residues), .sequence = sequence, .labels = {}};
}

TEST(Windows, CoverEachResidueOnceAwayFromCuts) {
  auto proteins = std::vector<Protein>{};
  for (auto const residues : {1u, 9u, 10u, 11u, 14u, 15u, 16u, 25u, 100u}) {
    proteins.push_back(of_length(residues));
  }
  auto const options = WindowOptions{.residues = 10, .margin = 3};
  auto const found = windows(proteins, options);
  auto const pieces = cut(proteins, found, options);
  ASSERT_EQ(pieces.size(), found.size());
  auto covered = std::size_t{0};
  for (std::size_t w = 0; w < found.size(); ++w) {
    auto const& one = found[w];
    auto const& sequence = proteins[one.protein].sequence;
    if (one.first == 0) covered = 0;
    EXPECT_EQ(one.first, covered);
    EXPECT_LT(one.first, one.last);
    covered = one.last;
    auto const end = one.offset + pieces[w].sequence.size();
    EXPECT_EQ(pieces[w].sequence, sequence.substr(one.offset, 10));
    EXPECT_TRUE(one.offset == 0 || one.first >= one.offset + options.margin);
    EXPECT_TRUE(end == sequence.size() || one.last + options.margin <= end);
    auto const is_last = w + 1 == found.size() || found[w + 1].protein != one.protein;
    EXPECT_EQ(is_last, one.last == sequence.size());
  }
}

TEST(Windows, LeaveProteinsWhole) {
  auto const proteins = std::vector{of_length(5), of_length(5000)};
  auto const found = windows(proteins, {});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(cut(proteins, found, {})[1].sequence, proteins[1].sequence);
  EXPECT_EQ(found[1].last, 5000u);
}

TEST(Windows, AreLargerThanTheirMargins) {
  EXPECT_THROW(windows({}, {.residues = 6, .margin = 3}), InputError);
  EXPECT_NO_THROW(windows({}, {.residues = 7, .margin = 3}));
  EXPECT_THROW(windows({}, {.residues = 7, .margin = 4}), InputError);
  EXPECT_THROW(windows({}, {.residues = 7, .margin = std::size_t{1} << 63}), InputError);
}

}  // namespace
}  // namespace qlora::predict
