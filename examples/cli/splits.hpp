/// The data of a run, or of all runs of a comparison, and who is related to whom.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/data/group_file.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/metrics/group_scores.hpp>

#include "files.hpp"
#include "options.hpp"

namespace qlora::cli {

/// Where the splits are.
struct SplitFiles {
  std::string train, valid, test;  ///< the last two may be empty
  std::string groups;              ///< empty: groups.tsv beside the test or the training file
};

struct Splits {
  DataSet train;
  std::optional<DataSet> valid, test;
  /// Of `train`, from all along it, about as many residues as `test` has, if there is one: enough
  /// for a loss after each epoch.
  DataSet train_sample;
  std::vector<Protein> records;  ///< of `train`, long proteins cut into chunks
  std::string groups_file;       ///< empty: each protein is a group of its own
  /// Of the training split none where the file lists the others alone.
  std::optional<ProteinGroups> train_groups, valid_groups, test_groups;

  /// Says on stderr what was cut, and which groups are used. Throws InputError for files that
  /// cannot be used, and for a group file that was named and lacks a protein.
  static Splits read(SplitFiles const& files, std::int64_t max_length,
                     MachineOptions const& machine);

  /// That training sees in so many epochs, with `<cls>` and `<eos>`.
  std::int64_t tokens(std::int64_t epochs) const;

  /// Calls `use(name, data)` for each split there is.
  template <class Use>
  void for_each(Use&& use) const {
    use("train", train);
    if (valid) use("valid", *valid);
    if (test) use("test", *test);
  }
  /// Of that split; null where there are none.
  ProteinGroups const* groups(std::string_view split) const {
    auto const& found = split == "test"    ? test_groups
                        : split == "valid" ? valid_groups
                                           : train_groups;
    return found ? &*found : nullptr;
  }
  /// To collect what a run leaves of each group of that split; nothing for the training split,
  /// whose groups decide nothing.
  std::optional<metrics::GroupedScores> grouped_scores(std::string_view split) const;

 private:
  void find_groups(SplitFiles const& files, bool quiet);
};

}  // namespace qlora::cli
