#include "baselines.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include <qlora/baseline/homology.hpp>
#include <qlora/baseline/residue_model.hpp>
#include <qlora/core/error.hpp>

#include "evaluation.hpp"

namespace qlora::cli {
namespace {

template <class Model>
RunResult trained_and_evaluated(std::string const& name, Splits const& splits,
                                report::Progress::Style style) {
  auto model = Model{};
  located<InputError>(splits.train.file, [&] { model.fit(splits.records); });
  auto result = RunResult{};
  splits.for_each([&](char const* split, DataSet const& data) {
    auto grouped = splits.grouped_scores(split);
    auto scoring = Scoring{data,
                           name + ": " + split + " metrics",
                           style,
                           {},
                           {.grouped = grouped ? &*grouped : nullptr}};
    for (std::size_t i = 0; i < data.proteins.size(); ++i) {
      auto logits = std::vector<float>{};  // (residues, 2)
      for (auto const margin : model.margins(data.proteins[i])) {
        logits.push_back(0.f);
        logits.push_back(margin);
      }
      scoring.add(i, logits);
    }
    auto scores = scoring.finish();
    for (auto& [metric, value] : scores.values) {
      if (metric.starts_with("loss")) value = std::numeric_limits<double>::quiet_NaN();
    }
    result.metrics[split] = scores;
    result.scores.emplace_back(split, scores);
    if (grouped) result.groups.emplace_back(split, grouped->scores());
  });
  return result;
}

constexpr auto names = std::to_array<std::string_view>({"frequency", "window", "homology"});

}  // namespace

std::vector<std::string> parse_baselines(std::string_view list) {
  auto chosen = std::vector<std::string>{};
  if (list == "none") return chosen;
  while (!list.empty()) {
    auto const name = std::string{list.substr(0, list.find(','))};
    list.remove_prefix(std::min(name.size() + 1, list.size()));
    if (std::ranges::find(names, name) == names.end()) {
      throw InputError{"--baselines: expected frequency, window, homology or none, found " + name};
    }
    if (std::ranges::find(chosen, name) != chosen.end()) {
      throw InputError{"--baselines: expected each once, found " + name + " again"};
    }
    chosen.push_back(name);
  }
  return chosen;
}

RunResult run_baseline(std::string const& name, Splits const& splits,
                       report::Progress::Style style) {
  if (name == "homology") {
    return trained_and_evaluated<baseline::Homology>(name, splits, style);
  }
  if (name == "window") return trained_and_evaluated<baseline::Window>(name, splits, style);
  return trained_and_evaluated<baseline::ResidueFrequency>(name, splits, style);
}

}  // namespace qlora::cli
