#include "run_result.hpp"

#include <algorithm>

namespace qlora::cli {
namespace {

template <class Entries>
auto find_entry(Entries const& entries, std::string const& split) {
  auto const found = std::ranges::find(entries, split, &Entries::value_type::first);
  return found == entries.end() ? nullptr : &found->second;
}

}  // namespace

metrics::Scores const* RunResult::find(std::string const& split) const {
  return find_entry(scores, split);
}

metrics::GroupScores const* RunResult::find_groups(std::string const& split) const {
  return find_entry(groups, split);
}

}  // namespace qlora::cli
