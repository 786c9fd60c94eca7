/// Which proteins of some data are relatives.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <qlora/data/group_file.hpp>

#include "files.hpp"

namespace qlora::cli {

struct Grouping {
  std::optional<GroupFile> file;      ///< none: each protein is a group of its own
  std::vector<ProteinGroups> groups;  ///< one a data set

  std::string name() const { return file ? file->name() : ""; }

  /// By the file that was named, which then has to list every protein; else by a file called
  /// groups.tsv beside one of the data files, if it does, which is said on stderr where it does
  /// not; else each protein by itself. Throws InputError for a file that cannot be used.
  static Grouping of(std::vector<DataSet const*> const& sets, std::string const& named,
                     std::vector<std::string> const& data_files, bool quiet);
};

/// groups.tsv beside the first of these files that has one there; "" for none.
std::string groups_beside(std::vector<std::string> const& data_files);

}  // namespace qlora::cli
