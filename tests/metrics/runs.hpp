/// Runs of two arms from the goldens.
#pragma once

#include <nlohmann/json.hpp>

#include <qlora/metrics/estimand.hpp>

#include "support/statistics.hpp"

namespace qlora::testing {

inline void from_golden(nlohmann::json const& json, double& value) {
  value = number(json);
}
inline void from_golden(nlohmann::json const& json, metrics::Confusion& counts) {
  counts = {.tp = json[0], .fp = json[1], .tn = json[2], .fn = json[3]};
}

/// (seeds, groups)
template <class Group>
metrics::GroupTable<Group> runs_of(nlohmann::json const& json) {
  auto table = metrics::GroupTable<Group>{};
  for (auto const& run : json) {
    table.emplace_back(run.size());
    for (std::size_t g = 0; g < run.size(); ++g) from_golden(run[g], table.back()[g]);
  }
  return table;
}

/// Calls use(estimand, golden) for level and difference of each statistic in the file.
template <class Use>
void for_each_golden_estimand(Use use) {
  auto const with = [&]<class S>(char const* name, S) {
    auto const& golden = statistics().at("bootstrap").at(name);
    auto const arm = runs_of<typename S::Group>(golden.at("arm"));
    auto const reference = runs_of<typename S::Group>(golden.at("reference"));
    SCOPED_TRACE(name);
    use(metrics::Estimand<S>{arm}, golden.at("level"));
    use(metrics::Estimand<S>{arm, reference}, golden.at("difference"));
  };
  with("values", metrics::MeanOverGroups{});
  with("counts", metrics::Pooled<metrics::F1>{});
}

}  // namespace qlora::testing
