/// The embedded default: a labelled corpus of synthetic protein families, split by family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/random.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/three_line.hpp>
#include <qlora/synth/family.hpp>

namespace qlora::inline v1::synth {

/// The defaults are those of the embedded study.
struct Options {
  std::uint32_t families = 80;
  std::uint32_t members = 6;  ///< proteins of a family
  std::uint32_t valid_percent = 15;
  std::uint32_t test_percent = 25;
  std::uint32_t pretraining_families = 0;  ///< further ones, in no split
  std::uint64_t seed = 1;
};

/// A protein's family and the split that the family went to.
struct Group {
  std::string protein;
  std::string family;
  std::string split;
};

struct Corpus {
  std::vector<Protein> train, valid, test;
  std::vector<Protein> pretraining;
  std::vector<Group> groups;  ///< of train, valid and test, in this order
};

namespace detail {

/// What a family is drawn for; each purpose has random numbers of its own.
enum class Purpose : std::uint32_t { study, pretraining };

/// Family `index` depends on the seed, its purpose and its index alone.
inline std::vector<Protein> family(Options const& options, Purpose purpose, std::uint32_t index,
                                   std::string const& name) {
  auto random = RandomSequence{{.seed = options.seed,
                                .step = static_cast<std::uint32_t>(purpose),
                                .sample = index,
                                .site = random_site::synthesis}};
  return draw_family(random, name, options.members);
}

}  // namespace detail

/// Draws the corpus: the same one for the same options on every machine. The first families train,
/// the next ones validate, the last ones test. Throws InputError when a split would be empty.
inline Corpus generate(Options const& options) {
  auto const test = options.families * options.test_percent / 100;
  auto const valid = options.families * options.valid_percent / 100;
  if (options.members == 0 || test == 0 || valid == 0 || test + valid >= options.families) {
    throw InputError("synthetic corpus: expected members and a family for each split, got " +
                     std::to_string(options.families) + " families of " +
                     std::to_string(options.members));
  }
  auto corpus = Corpus{};
  auto const train = options.families - valid - test;
  for (auto i = std::uint32_t{0}; i < options.families; ++i) {
    auto& split = i < train ? corpus.train : i < train + valid ? corpus.valid : corpus.test;
    auto const* const split_name = i < train ? "train" : i < train + valid ? "valid" : "test";
    auto const name = "family" + std::to_string(i + 1);
    for (auto& protein : detail::family(options, detail::Purpose::study, i, name)) {
      corpus.groups.push_back({.protein = protein.id, .family = name, .split = split_name});
      split.push_back(std::move(protein));
    }
  }
  for (auto i = std::uint32_t{0}; i < options.pretraining_families; ++i) {
    auto const name = "pretraining" + std::to_string(i + 1);
    for (auto& protein : detail::family(options, detail::Purpose::pretraining, i, name)) {
      corpus.pretraining.push_back(std::move(protein));
    }
  }
  return corpus;
}

/// Counts of one split.
inline Json summary(std::vector<Protein> const& proteins) {
  auto residues = std::size_t{0};
  auto positives = std::size_t{0};
  for (auto const& protein : proteins) {
    residues += protein.sequence.size();
    positives += static_cast<std::size_t>(std::ranges::count(protein.labels, label_positive));
  }
  return {{"proteins", proteins.size()}, {"residues", residues}, {"positives", positives}};
}

/// Writes train.txt, valid.txt, test.txt (three lines a protein), groups.tsv, summary.json and,
/// when the corpus has any, the pretraining families as pretrain.fasta. The folder is made if
/// absent. Throws SystemError.
inline void write(Corpus const& corpus, std::filesystem::path const& folder) {
  std::filesystem::create_directories(folder);
  write_three_line(folder / "train.txt", corpus.train);
  write_three_line(folder / "valid.txt", corpus.valid);
  write_three_line(folder / "test.txt", corpus.test);
  write_atomically(folder / "groups.tsv", [&](FileWriter& file) {
    file.write("chunk\tprotein\toffset\tfamily\tgroup\tsplit\n");
    for (auto const& [protein, family, split] : corpus.groups) {
      for (auto const* const text :
           {protein.c_str(), "\t", protein.c_str(), "\t0\t", family.c_str(), "\t", family.c_str(),
            "\t", split.c_str(), "\n"}) {
        file.write(text);
      }
    }
  });
  auto counts = Json{{"train", summary(corpus.train)},
                     {"valid", summary(corpus.valid)},
                     {"test", summary(corpus.test)}};
  write_atomically(folder / "summary.json", counts.dump(2) + "\n");
  if (corpus.pretraining.empty()) return;
  write_atomically(folder / "pretrain.fasta", [&](FileWriter& file) {
    for (auto const& protein : corpus.pretraining) {
      file.write(">" + protein.id + "\n" + protein.sequence + "\n");
    }
  });
}

}  // namespace qlora::inline v1::synth
