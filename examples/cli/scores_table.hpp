/// Metrics of splits as a table.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qlora/metrics/scores.hpp>
#include <qlora/report/table.hpp>

namespace qlora::cli {

/// What the tables of the program show, in this order: the card's seven numbers, then two that hold
/// across thresholds.
inline constexpr auto table_metrics =
    std::to_array<std::string_view>({"loss", "accuracy", "precision", "recall", "f1", "auc_card",
                                     "mcc", "roc_auc", "average_precision"});

/// A row a split.
inline report::Table scores_table(std::span<std::pair<std::string, metrics::Scores> const> scores) {
  auto columns = std::vector<report::Column>{{"split", report::Align::left}};
  for (auto const name : table_metrics) columns.push_back({std::string{name}});
  auto table = report::Table{columns};
  for (auto const& [split, values] : scores) {
    auto row = std::vector<report::Cell>{split};
    for (auto const name : table_metrics) row.emplace_back(values[name]);
    table.add(std::move(row));
  }
  return table;
}

}  // namespace qlora::cli
