#include "splits.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/data/chunk.hpp>

#include "grouping.hpp"
#include "notes.hpp"
#include "session.hpp"

namespace qlora::cli {
namespace {

bool lists_all(GroupFile const& file, DataSet const& data) {
  return std::ranges::all_of(data.proteins,
                             [&](Protein const& one) { return file.find(one.id) != nullptr; });
}

/// Every n-th protein, so that about so many residues are left, or all.
DataSet sample(DataSet const& data, std::int64_t wanted) {
  auto result = DataSet{data.file, data.fingerprint, {}, {}};
  auto const every = std::max(residues(data.proteins) / wanted, std::int64_t{1});
  for (auto i = std::size_t{0}; i < data.proteins.size(); i += static_cast<std::size_t>(every)) {
    result.proteins.push_back(data.proteins[i]);
  }
  return result;
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
  hold_note(file.name() + ": " + std::to_string(shared) + " of " +
            std::to_string(splits.test_groups->names.size()) +
            " groups of the test split are in the training split, too");
}

}  // namespace

void Splits::find_groups(SplitFiles const& files, bool quiet) {
  auto held_out = std::vector<DataSet const*>{};
  for (auto const* const set : {&valid, &test}) {
    if (*set) held_out.push_back(&**set);
  }
  auto grouping = Grouping::of(held_out, files.groups, {files.test, files.train}, quiet);
  groups_file = grouping.name();
  if (test) test_groups = std::move(grouping.groups.back());
  if (valid) valid_groups = std::move(grouping.groups.front());
  if (!grouping.file) {
    train_groups = ProteinGroups::of_each(train.proteins);
  } else if (lists_all(*grouping.file, train)) {
    train_groups = ProteinGroups::of(train.proteins, *grouping.file);
  }
  if (test && grouping.file && !quiet) note_shared_groups(*this, *grouping.file);
}

std::int64_t Splits::tokens(std::int64_t epochs) const {
  return epochs * (residues(records) + 2 * static_cast<std::int64_t>(records.size()));
}

std::optional<metrics::GroupedScores> Splits::grouped_scores(std::string_view split) const {
  if (split == "train") return std::nullopt;
  auto const* const found = groups(split);
  if (found == nullptr) return std::nullopt;
  return metrics::GroupedScores{found->of_protein, found->names.size()};
}

Splits Splits::read(SplitFiles const& files, std::int64_t max_length,
                    MachineOptions const& machine) {
  auto splits = Splits{.train = DataSet::read(files.train),
                       .valid = {},
                       .test = {},
                       .train_sample = {},
                       .records = {},
                       .groups_file = {},
                       .train_groups = {},
                       .valid_groups = {},
                       .test_groups = {}};
  if (!files.valid.empty()) splits.valid = DataSet::read(files.valid);
  if (!files.test.empty()) splits.test = DataSet::read(files.test);
  if (!machine.quiet) {
    splits.for_each([](auto const&, DataSet const& data) { data.report_skipped(); });
  }
  if (splits.test) splits.train_sample = sample(splits.train, residues(splits.test->proteins));
  splits.find_groups(files, machine.quiet);
  auto chunks = chunk(splits.train.proteins, static_cast<std::size_t>(max_length));
  if (chunks.cut > 0 && !machine.quiet) {
    auto const proteins = splits.train.proteins.size();
    hold_note(files.train + ": " + std::to_string(chunks.cut) + " of " + std::to_string(proteins) +
              " proteins are longer than " + std::to_string(max_length) +
              " residues and train as " +
              std::to_string(chunks.proteins.size() - (proteins - chunks.cut)) + " chunks");
  }
  splits.records = std::move(chunks.proteins);
  return splits;
}

}  // namespace qlora::cli
