#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include <qlora/data/read.hpp>
#include <qlora/synth/corpus.hpp>

#include "support/files.hpp"

namespace {
using namespace qlora;

/// FNV-1a over all sequences and labels.
std::uint64_t fingerprint(std::vector<Protein> const& proteins) {
  auto hash = std::uint64_t{0xcbf29ce484222325};
  auto const add = [&](int byte) {
    hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
  };
  for (auto const& protein : proteins) {
    for (auto const residue : protein.sequence) add(residue);
    for (auto const label : protein.labels) add(label);
  }
  return hash;
}

TEST(Corpus, IsTheSameEverywhere) {
  auto const corpus = synth::generate({});
  EXPECT_EQ(fingerprint(corpus.train), 10077604832018416023u);
  EXPECT_EQ(fingerprint(corpus.test), 7118579457260824213u);
  EXPECT_NE(fingerprint(synth::generate({.seed = 2}).train), fingerprint(corpus.train));
}

TEST(Corpus, PutsEachFamilyOnOneSide) {
  auto const corpus = synth::generate({});
  EXPECT_EQ(corpus.train.size(), 288u);
  EXPECT_EQ(corpus.valid.size(), 72u);
  EXPECT_EQ(corpus.test.size(), 120u);
  auto splits = std::map<std::string, std::set<std::string>>{};
  for (auto const& group : corpus.groups) splits[group.family].insert(group.split);
  EXPECT_EQ(splits.size(), 80u);
  for (auto const& [family, sides] : splits) EXPECT_EQ(sides.size(), 1u) << family;
}

TEST(Corpus, HasRealisticLengthsAndFewSites) {
  auto const corpus = synth::generate({.families = 400, .seed = 12});
  auto const counts = synth::summary(corpus.train);
  auto const residues = counts["residues"].get<double>();
  auto const share = counts["positives"].get<double>() / residues;
  EXPECT_GT(share, 0.02);
  EXPECT_LT(share, 0.05);
  auto const mean = residues / static_cast<double>(corpus.train.size());
  EXPECT_GT(mean, 240);
  EXPECT_LT(mean, 350);
  for (auto const& protein : corpus.train) {
    EXPECT_GE(protein.sequence.size(), 60u);
    EXPECT_LE(protein.sequence.size(), 800u);
  }
}

TEST(Corpus, PretrainsOnOtherFamilies) {
  auto const corpus = synth::generate({.families = 10, .pretraining_families = 10});
  ASSERT_EQ(corpus.pretraining.size(), 60u);
  auto sequences = std::set<std::string>{};
  for (auto const* split : {&corpus.train, &corpus.valid, &corpus.test, &corpus.pretraining}) {
    for (auto const& protein : *split) sequences.insert(protein.sequence);
  }
  EXPECT_EQ(sequences.size(), 120u);
  EXPECT_EQ(synth::generate({.families = 10}).train, corpus.train);
}

TEST(Corpus, HidesSitesAndKeepsTheTruth) {
  auto const whole = synth::generate({});
  EXPECT_EQ(fingerprint(whole.truth.test), fingerprint(whole.test));
  auto const half = synth::generate({.hidden_percent = 50});
  auto const most = synth::generate({.hidden_percent = 80});
  EXPECT_EQ(fingerprint(half.truth.train), fingerprint(whole.train));
  auto sites = 0., left = 0.;
  for (auto p = std::size_t{0}; p < whole.train.size(); ++p) {
    for (auto i = std::size_t{0}; i < whole.train[p].labels.size(); ++i) {
      sites += whole.train[p].labels[i];
      left += half.train[p].labels[i];
      EXPECT_LE(half.train[p].labels[i], whole.train[p].labels[i]);
      EXPECT_LE(most.train[p].labels[i], half.train[p].labels[i]);  // more hides the same, too
    }
  }
  EXPECT_NEAR(left / sites, .5, 4 * .5 / std::sqrt(sites));
  EXPECT_EQ(synth::summary(synth::generate({.hidden_percent = 100}).test)["positives"], 0);
  EXPECT_THROW(synth::generate({.hidden_percent = 101}), InputError);
  EXPECT_THROW(synth::generate({.test_percent = 53'687'116}), InputError);  // 80 times it wraps
}

TEST(Corpus, IsWrittenAsFilesThatReadersTake) {
  auto const folder =
      std::filesystem::temp_directory_path() / ("qlora-test-corpus-" + std::to_string(::getpid()));
  auto const corpus = synth::generate({.families = 10, .members = 2, .pretraining_families = 3});
  synth::write(corpus, folder);
  EXPECT_EQ(read_binding_sites(folder / "train.txt"), corpus.train);
  EXPECT_EQ(read_binding_sites(folder / "valid.txt"), corpus.valid);
  EXPECT_EQ(read_binding_sites(folder / "test.txt"), corpus.test);
  auto const pretraining = read_proteins(folder / "pretrain.fasta");
  ASSERT_EQ(pretraining.size(), 6u);
  EXPECT_EQ(pretraining[5].sequence, corpus.pretraining[5].sequence);
  EXPECT_EQ(json::read_object(folder / "summary.json")["test"], synth::summary(corpus.test));
  auto const groups = read_text(folder / "groups.tsv", 1 << 20);
  EXPECT_TRUE(
      groups.starts_with("chunk\tprotein\toffset\tfamily\tgroup\tsplit\n"
                         "family1_1\tfamily1_1\t0\tfamily1\tfamily1\ttrain\n"));
  std::filesystem::remove_all(folder);
}

TEST(Corpus, IsWrittenAsAWholeOrNotAtAll) {
  auto const temporary = qlora::testing::TemporaryFolder{};
  auto const corpus = synth::generate({.families = 10, .members = 2, .pretraining_families = 3});
  struct Stop {};
  for (auto const proteins : {0, 25, 45}) {  // the last in pretrain.fasta
    auto left = proteins;
    auto const stop = [&] {
      if (left-- == 0) throw Stop{};
    };
    EXPECT_THROW(synth::write(corpus, temporary.path() / "new" / "corpus", stop), Stop);
    EXPECT_TRUE(std::filesystem::is_empty(temporary.path()));
  }
  temporary.write("groups.tsv", "");
  EXPECT_THROW(synth::write(corpus, temporary.path()), InputError);
}

TEST(Corpus, NeedsAFamilyForEachSplit) {
  EXPECT_THROW(synth::generate({.families = 3}), InputError);
  EXPECT_THROW(synth::generate({.members = 0}), InputError);
  EXPECT_THROW(synth::generate({.valid_percent = 60, .test_percent = 40}), InputError);
}

}  // namespace
