#include "grouping.hpp"

#include <filesystem>
#include <system_error>
#include <utility>

#include <qlora/core/error.hpp>

#include "notes.hpp"

namespace qlora::cli {
namespace {

Grouping by_file(std::vector<DataSet const*> const& sets, std::string const& path) {
  auto grouping = Grouping{.file = GroupFile{path}, .groups = {}};
  for (auto const* const set : sets) {
    grouping.groups.push_back(ProteinGroups::of(set->proteins, *grouping.file));
  }
  return grouping;
}

}  // namespace

std::string groups_beside(std::vector<std::string> const& data_files) {
  for (auto const& file : data_files) {
    if (file.empty()) continue;
    auto const path = std::filesystem::path{file}.parent_path() / "groups.tsv";
    auto ignored = std::error_code{};
    auto const status = std::filesystem::symlink_status(path, ignored);
    if (status.type() != std::filesystem::file_type::not_found) return path.string();
  }
  return "";
}

Grouping Grouping::of(std::vector<DataSet const*> const& sets, std::string const& named,
                      std::vector<std::string> const& data_files, bool quiet) {
  if (!named.empty()) return by_file(sets, named);
  if (auto const found = groups_beside(data_files); !found.empty()) {
    try {
      return by_file(sets, found);
    } catch (InputError const& error) {  // nobody asked for it: it may belong to other data
      if (!quiet) hold_note(std::string{error.what()} + "; each protein is a group of its own");
    }
  }
  auto grouping = Grouping{};
  for (auto const* const set : sets) {
    grouping.groups.push_back(ProteinGroups::of_each(set->proteins));
  }
  return grouping;
}

}  // namespace qlora::cli
