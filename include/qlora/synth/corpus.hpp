/// The embedded default: a labelled corpus of synthetic protein families, split by family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/option.hpp>
#include <qlora/core/output_folder.hpp>
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
  std::uint32_t hidden_percent = 0;        ///< of the sites, which the labels call none
  std::uint32_t pretraining_families = 0;  ///< further ones, in no split
  std::uint64_t seed = 1;
};

/// A protein's family and the split that the family went to.
struct Group {
  std::string protein;
  std::string family;
  std::string split;
};

struct Splits {
  std::vector<Protein> train, valid, test;
};

struct Corpus : Splits {
  Splits truth;  ///< with every site labelled
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

/// Each site of a protein is called none with that chance, as where nobody has looked yet. A
/// higher chance hides the same sites and others.
inline void hide_sites(Options const& options, std::uint32_t number, Protein& protein) {
  auto random = RandomSequence{{.seed = options.seed,
                                .step = 1,  // no labels are shuffled with it
                                .sample = number,
                                .site = random_site::labels}};
  for (auto& label : protein.labels) {
    if (label == label_positive && random.below(100) < options.hidden_percent) {
      label = label_negative;
    }
  }
}

}  // namespace detail

/// Draws the corpus: the same one for the same options on every machine. The first families train,
/// the next ones validate, the last ones test. Throws InputError when a split would be empty, and
/// for more hidden than all.
inline Corpus generate(Options const& options) {
  for (auto const& [name, percent] : {std::pair{"valid_percent", options.valid_percent},
                                      {"test_percent", options.test_percent},
                                      {"hidden_percent", options.hidden_percent}}) {
    expect_option(percent <= 100, name, "at most 100", percent);
  }
  auto const of_families = [&](std::uint32_t percent) {
    return static_cast<std::uint32_t>(std::uint64_t{options.families} * percent / 100);
  };
  auto const test = of_families(options.test_percent);
  auto const valid = of_families(options.valid_percent);
  if (options.members == 0 || test == 0 || valid == 0 || test + valid >= options.families) {
    throw InputError("synthetic corpus: expected members and a family for each split, got " +
                     std::to_string(options.families) + " families of " +
                     std::to_string(options.members));
  }
  auto corpus = Corpus{};
  auto const train = options.families - valid - test;
  for (auto i = std::uint32_t{0}; i < options.families; ++i) {
    auto const split = i < train           ? &Splits::train
                       : i < train + valid ? &Splits::valid
                                           : &Splits::test;
    auto const* const split_name = i < train ? "train" : i < train + valid ? "valid" : "test";
    auto const name = "family" + std::to_string(i + 1);
    for (auto& protein : detail::family(options, detail::Purpose::study, i, name)) {
      (corpus.truth.*split).push_back(protein);
      detail::hide_sites(options, static_cast<std::uint32_t>(corpus.groups.size()), protein);
      corpus.groups.push_back({.protein = protein.id, .family = name, .split = split_name});
      (corpus.*split).push_back(std::move(protein));
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

/// Writes train.txt, valid.txt, test.txt (three lines a protein), the same with every site labelled
/// into `truth`, groups.tsv, summary.json and, when the corpus has any, the pretraining families as
/// pretrain.fasta. The folder is made if absent. Throws InputError for a folder that holds
/// something, SystemError, and what `before_protein` throws; then it is as it was.
inline void write(
    Corpus const& corpus, std::filesystem::path const& path,
    std::function<void()> const& before_protein = [] {}) {
  auto folder = OutputFolder{path};
  auto truth = OutputFolder{path / "truth"};
  auto const write_splits = [&](Splits const& splits, OutputFolder& into) {
    write_three_line(into.file("train.txt"), splits.train, before_protein);
    write_three_line(into.file("valid.txt"), splits.valid, before_protein);
    write_three_line(into.file("test.txt"), splits.test, before_protein);
  };
  write_splits(corpus, folder);
  write_splits(corpus.truth, truth);
  write_atomically(folder.file("groups.tsv"), [&](FileWriter& file) {
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
  write_atomically(folder.file("summary.json"), counts.dump(2) + "\n");
  if (!corpus.pretraining.empty()) {
    write_atomically(folder.file("pretrain.fasta"), [&](FileWriter& file) {
      for (auto const& protein : corpus.pretraining) {
        before_protein();
        file.write(">" + protein.id + "\n" + protein.sequence + "\n");
      }
    });
  }
  truth.keep();
  folder.keep();
}

}  // namespace qlora::inline v1::synth
