/// Lists on the command line: "qkv,all".
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace qlora::cli {

/// What stands between the commas, empty where nothing does; a comma at the end ends the list.
inline std::vector<std::string> parse_comma_list(std::string_view list) {
  auto entries = std::vector<std::string>{};
  while (!list.empty()) {
    auto const& entry = entries.emplace_back(list.substr(0, list.find(',')));
    list.remove_prefix(std::min(entry.size() + 1, list.size()));
  }
  return entries;
}

}  // namespace qlora::cli
