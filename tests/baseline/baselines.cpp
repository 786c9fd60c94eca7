// Floors and ceilings on data whose answer is known.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/baseline/homology.hpp>
#include <qlora/baseline/relatives.hpp>
#include <qlora/baseline/residue_model.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/random.hpp>

namespace qlora {
namespace {

using baseline::align;
using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;

Protein protein(std::string const& sequence, std::string const& labels, std::string id = "p") {
  auto result = Protein{std::move(id), sequence, {}};
  for (auto const label : labels) {
    result.labels.push_back(static_cast<std::int8_t>(label == '-' ? -1 : label - '0'));
  }
  return result;
}

TEST(ResidueFrequency, IsTheLogOddsOfCounts) {
  auto model = baseline::ResidueFrequency{};
  model.fit(std::vector{protein("HHHAA", "11010"), protein("AC", "-0")});
  auto const margins = model.margins(protein("HAC", ""));
  // Sites: H, H, A; others: H, A, C. Every letter of 33 counts once more.
  EXPECT_NEAR(margins[0], std::log((3. / 36) / (2. / 36)), 1e-6);
  EXPECT_NEAR(margins[1], 0., 1e-6);
  EXPECT_NEAR(margins[2], std::log(1. / 2), 1e-6);
}

TEST(Window, SeesNeighboursAndEnds) {
  auto model = baseline::Window{};
  auto train = std::vector<Protein>{};
  auto random = RandomSequence{{.seed = 5}};
  // A site is an A three places after a W.
  for (auto p = 0; p < 200; ++p) {
    auto sequence = std::string{};
    for (auto i = 0; i < 40; ++i) sequence += "AGLV"[random.below(4)];
    auto labels = std::string(40, '0');
    auto const at = 3 + random.below(34);
    sequence[at - 3] = 'W';
    sequence[at] = 'A';
    labels[at] = '1';
    train.push_back(protein(sequence, labels));
  }
  model.fit(train);
  auto const margins = model.margins(protein("GGWGGAGGGAGG", ""));
  for (auto i = std::size_t{0}; i < margins.size(); ++i) {
    EXPECT_EQ(margins[i] > 0.f, i == 5) << i;
  }
}

TEST(ResidueModel, WantsBothClasses) {
  auto model = baseline::Window{};
  EXPECT_THROW(model.fit(std::vector{protein("AC", "00")}), InputError);
  EXPECT_THROW(model.fit(std::vector{protein("AC", "1-")}), InputError);
}

TEST(Alignment, FindsTheLocalOptimum) {
  EXPECT_EQ(align("HEAGAWGHEE", "PAWHEAE").score, 17);  // AW-HE to AWGHE would cost 11
  auto const gapped = align("MKTAYIAKQRQISFVKSHFSRQ", "MKTAYIAKQISFVKSHFSRQ");
  EXPECT_EQ(gapped.pairs.size(), 20u);
  EXPECT_EQ(gapped.pairs.front(), (std::pair<std::size_t, std::size_t>{0, 0}));
  EXPECT_EQ(gapped.pairs.back(), (std::pair<std::size_t, std::size_t>{21, 19}));
  EXPECT_EQ(align("AAAA", "WWWW").pairs, Pairs{});
  EXPECT_EQ(align("", "ACD").score, 0);
  EXPECT_EQ(align("JJCWC", "CWC").pairs, (Pairs{{2, 0}, {3, 1}, {4, 2}}));
}

std::string drawn(RandomSequence& random, std::size_t size) {
  auto text = std::string{};
  while (text.size() < size) text += "ACDEFGHIKLMNPQRSTVWYX"[random.below(21)];
  return text;
}

/// Of the pairs, less the gaps.
int score_of(baseline::Alignment const& found, std::string const& a, std::string const& b) {
  auto score = 0;
  for (auto i = std::size_t{0}; i < found.pairs.size(); ++i) {
    auto const [x, y] = found.pairs[i];
    score += baseline::detail::similarity(a[x], b[y]);
    if (i == 0) continue;
    auto const [before_x, before_y] = found.pairs[i - 1];
    for (auto const gap : {x - before_x - 1, y - before_y - 1}) {
      if (gap > 0) score -= 10 + static_cast<int>(gap);
    }
  }
  return score;
}

TEST(Alignment, ScoresWhatItShows) {
  auto random = RandomSequence{{.seed = 7}};
  for (auto round = 0; round < 200; ++round) {
    auto a = drawn(random, 1 + random.below(60));
    auto b = a.substr(random.below(static_cast<std::uint32_t>(a.size()))) +
             drawn(random, random.below(20));
    if (b.size() > 9) b.erase(4, random.below(6));
    auto const found = align(a, b);
    EXPECT_EQ(score_of(found, a, b), found.score) << a << " " << b;
  }
}

/// Whatever of the way back is computed again.
TEST(Alignment, IsTheSameInBlocks) {
  auto random = RandomSequence{{.seed = 8}};
  for (auto round = 0; round < 50; ++round) {
    auto const a = drawn(random, 60);
    auto b = a;
    b.erase(5 + random.below(20), random.below(12));
    b.insert(30 + random.below(10), drawn(random, random.below(12)));
    auto const whole = baseline::detail::align(a, b, a.size());
    for (auto const rows : {1u, 2u, 3u, 7u, 59u, 100u}) {
      auto const in_blocks = baseline::detail::align(a, b, rows);
      EXPECT_EQ(in_blocks.score, whole.score);
      EXPECT_EQ(in_blocks.pairs, whole.pairs) << a << " " << b << " " << rows;
    }
  }
}

TEST(Alignment, IsTheSameOfLongProteins) {
  auto random = RandomSequence{{.seed = 9}};
  auto const a = drawn(random, 4200);
  auto b = a;
  for (auto const at : {4000u, 3100u, 2000u, 1500u, 700u, 50u}) b.erase(at, 1 + random.below(9));
  EXPECT_EQ(align(a, b).pairs, baseline::detail::align(a, b, a.size()).pairs);
}

TEST(Alignment, RefusesWhatWouldTakeHours) {
  auto const length = baseline::longest_aligned;
  EXPECT_EQ(align(protein(std::string(length, 'A'), ""), protein("A", "")).score, 4);
  EXPECT_THROW(align(protein(std::string(length + 1, 'A'), ""), protein("A", "")), InputError);
}

TEST(Alignment, CountsIdenticalResidues) {
  auto const same = [](std::string const& a, std::string const& b) {
    return baseline::identical(align(a, b), a, b);
  };
  EXPECT_EQ(same("JJCWC", "CWC"), 3u);
  EXPECT_EQ(same("CWCCWC", "CWCMWC"), 5u);
  EXPECT_EQ(same("AAAA", "WWWW"), 0u);
}

TEST(Relatives, ThoseThatShareMostWordsComeFirst) {
  auto relatives = baseline::Relatives{};
  EXPECT_TRUE(relatives.of("ACDEFGHIKL", 3).empty());
  for (auto const* const sequence :
       {"WWWWWWWWWW", "ACDEFGWWWW", "ACDEFGHIKL", "ACDEFGHIWW", "AC"}) {
    relatives.add(sequence);
  }
  using Numbers = std::vector<std::uint32_t>;
  EXPECT_EQ(relatives.of("ACDEFGHIKL", 9), (Numbers{2, 3, 1}));
  EXPECT_EQ(relatives.of("ACDEFGHIKL", 2), (Numbers{2, 3}));
  EXPECT_EQ(relatives.of("ACDE", 2), Numbers{});
  EXPECT_EQ(relatives.of("WWWWW", 2), (Numbers{0}));
}

TEST(Homology, TakesLabelsOverFromKin) {
  auto const sequence = std::string{"MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQ"};
  auto labels = std::string(sequence.size(), '0');
  labels[10] = labels[30] = '1';
  labels[20] = '-';
  auto model = baseline::Homology{};
  model.fit(
      std::vector{protein(sequence, labels), protein(std::string(60, 'P'), std::string(60, '1'))});
  auto kin = sequence;
  kin.erase(15, 2);  // what follows moves
  kin[40] = 'W';
  auto const margins = model.margins(protein(kin, "", "kin"));
  for (auto i = std::size_t{0}; i < margins.size(); ++i) {
    EXPECT_EQ(margins[i] > 0.f, i == 10 || i == 28) << i;
  }
  EXPECT_GT(margins[10], .9f);
  EXPECT_LT(margins[11], -.9f);
  EXPECT_GT(margins[18], -.1f);  // nothing is known of it
  auto const has_none = [](Protein const& one, baseline::Homology const& among) {
    return std::ranges::all_of(among.margins(one), [](float margin) { return margin == -1e-3f; });
  };
  EXPECT_TRUE(has_none(protein("GGGGGGGGGG", "", "kin"), model));
  EXPECT_TRUE(has_none(protein(sequence, labels), model));  // a protein is not its own relative
}

}  // namespace
}  // namespace qlora
