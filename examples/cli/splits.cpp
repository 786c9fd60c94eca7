#include "splits.hpp"

#include <filesystem>
#include <iostream>
#include <unordered_set>

#include <qlora/core/error.hpp>
#include <qlora/data/chunk.hpp>

#include "session.hpp"

namespace qlora::cli {
namespace {

/// A file called groups.tsv beside the test file, else beside the training file; "" for none.
std::string beside(SplitFiles const& files) {
  for (auto const* const file : {&files.test, &files.train}) {
    if (file->empty()) continue;
    auto const path = std::filesystem::path{*file}.parent_path() / "groups.tsv";
    auto ignored = std::error_code{};
    if (std::filesystem::is_regular_file(path, ignored)) return path.string();
  }
  return "";
}

/// Relatives on both sides of the split would make the test easier than the future.
void note_shared_groups(Splits const& splits, GroupFile const& file) {
  auto trained = std::unordered_set<std::string>{};
  for (auto const& protein : splits.train.proteins) {
    if (auto const* const entry = file.find(protein.id)) trained.insert(entry->group);
  }
  auto shared = std::size_t{0};
  for (auto const& name : splits.test_groups->names) shared += trained.count(name);
  if (shared == 0) return;
  std::cerr << file.name() << ": " << shared << " of " << splits.test_groups->names.size()
            << " groups of the test split are in the training split, too\n";
}

}  // namespace

void Splits::find_groups(SplitFiles const& files, bool quiet) {
  auto const use = [&](std::string const& path) {
    auto const file = GroupFile{path};
    if (valid) valid_groups = ProteinGroups::of(valid->proteins, file);
    if (test) test_groups = ProteinGroups::of(test->proteins, file);
    groups_file = path;
    if (test && !quiet) note_shared_groups(*this, file);
  };
  if (!files.groups.empty()) return use(files.groups);
  if (auto const found = beside(files); !found.empty()) {
    try {
      return use(found);
    } catch (InputError const& error) {  // nobody asked for it: it may belong to other data
      if (!quiet) std::cerr << error.what() << "; each protein is a group of its own\n";
    }
  }
  if (valid) valid_groups = ProteinGroups::of_each(valid->proteins);
  if (test) test_groups = ProteinGroups::of_each(test->proteins);
}

std::int64_t Splits::tokens(std::int64_t epochs) const {
  return epochs * (residues(records) + 2 * static_cast<std::int64_t>(records.size()));
}

std::optional<metrics::GroupedScores> Splits::grouped_scores(std::string_view split) const {
  auto const* const found = groups(split);
  if (found == nullptr) return std::nullopt;
  return metrics::GroupedScores{found->of_protein, found->names.size()};
}

Splits Splits::read(SplitFiles const& files, std::int64_t max_length,
                    MachineOptions const& machine) {
  auto splits = Splits{.train = DataSet::read(files.train),
                       .valid = {},
                       .test = {},
                       .records = {},
                       .groups_file = {},
                       .valid_groups = {},
                       .test_groups = {}};
  if (!files.valid.empty()) splits.valid = DataSet::read(files.valid);
  if (!files.test.empty()) splits.test = DataSet::read(files.test);
  if (!machine.quiet) {
    splits.for_each([](auto const&, DataSet const& data) { data.report_skipped(); });
  }
  splits.find_groups(files, machine.quiet);
  auto chunks = chunk(splits.train.proteins, static_cast<std::size_t>(max_length));
  if (chunks.cut > 0 && !machine.quiet) {
    std::cerr << files.train << ": " << chunks.cut << " of " << splits.train.proteins.size()
              << " proteins are longer than " << max_length << " residues and train as "
              << chunks.proteins.size() - (splits.train.proteins.size() - chunks.cut)
              << " chunks\n";
  }
  splits.records = std::move(chunks.proteins);
  return splits;
}

}  // namespace qlora::cli
