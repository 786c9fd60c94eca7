#include "baselines.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <limits>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <qlora/baseline/homology.hpp>
#include <qlora/baseline/residue_model.hpp>
#include <qlora/core/error.hpp>

#include "comma_list.hpp"
#include "evaluation.hpp"

namespace qlora::cli {
namespace {

template <class Model>
RunResult evaluated(std::string const& name, Model const& model, Splits const& splits,
                    report::Progress::Style style) {
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

template <class Model>
RunResult trained_and_evaluated(std::string const& name, Splits const& splits,
                                report::Progress::Style style) {
  auto model = Model{};
  located<InputError>(splits.train.file, [&] { model.fit(splits.records); });
  return evaluated(name, model, splits, style);
}

/// Where all sites of a data file are labelled: a file of its name in a folder `truth` beside it.
std::filesystem::path truth_file(DataSet const& data) {
  auto const path = std::filesystem::path{data.file};
  return path.parent_path() / "truth" / path.filename();
}

/// What generated the data: a ceiling, below 1 where labels lack sites.
class Truth {
 public:
  /// Throws InputError where there is none of some split.
  explicit Truth(Splits const& splits) {
    splits.for_each([&](char const*, DataSet const& data) {
      for (auto& protein : DataSet::read(truth_file(data).string()).proteins) {
        labels_.emplace(std::move(protein.id), std::move(protein.labels));
      }
    });
  }

  std::vector<float> margins(Protein const& protein) const {
    auto const found = labels_.find(protein.id);
    if (found == labels_.end() || found->second.size() != protein.sequence.size()) {
      throw InputError{"truth: expected labels of every residue of '" + printable(protein.id) +
                       "', found none"};
    }
    auto margins = std::vector<float>{};
    for (auto const label : found->second) margins.push_back(label == label_positive ? 1.f : -1.f);
    return margins;
  }

 private:
  std::unordered_map<std::string, decltype(Protein::labels)> labels_;
};

bool has_truth(Splits const& splits) {
  auto every = true;
  auto ignored = std::error_code{};
  splits.for_each([&](char const*, DataSet const& data) {
    every = every && std::filesystem::is_regular_file(truth_file(data), ignored);
  });
  return every;
}

constexpr auto names =
    std::to_array<std::string_view>({"frequency", "window", "homology", "truth"});

}  // namespace

std::string_view baseline_meaning(std::string_view name) {
  if (name == "frequency") return "no network: how often a residue is a site in training";
  if (name == "window") return "no network: naive Bayes on the residue and 7 neighbours a side";
  if (name == "homology") return "no network: sites of similar training proteins";
  return "what generated the data: the best that these labels allow";
}

std::vector<std::string> parse_baselines(std::string_view list) {
  auto chosen = std::vector<std::string>{};
  if (list == "none") return chosen;
  for (auto const& name : parse_comma_list(list)) {
    if (std::ranges::find(names, name) == names.end()) {
      throw InputError{"--baselines: expected frequency, window, homology, truth or none, found " +
                       name};
    }
    if (std::ranges::find(chosen, name) != chosen.end()) {
      throw InputError{"--baselines: expected each once, found " + name + " again"};
    }
    chosen.push_back(name);
  }
  return chosen;
}

std::vector<std::pair<std::string, RunResult>> run_baselines(std::string_view list, bool is_asked,
                                                             Splits const& splits,
                                                             report::Progress::Style style) {
  auto results = std::vector<std::pair<std::string, RunResult>>{};
  for (auto const& name : parse_baselines(list)) {
    if (name == "frequency") {
      results.emplace_back(name,
                           trained_and_evaluated<baseline::ResidueFrequency>(name, splits, style));
    } else if (name == "window") {
      results.emplace_back(name, trained_and_evaluated<baseline::Window>(name, splits, style));
    } else if (name == "homology") {
      results.emplace_back(name, trained_and_evaluated<baseline::Homology>(name, splits, style));
    } else if (is_asked) {
      results.emplace_back(name, evaluated(name, Truth{splits}, splits, style));
    } else if (has_truth(splits)) {
      try {
        results.emplace_back(name, evaluated(name, Truth{splits}, splits, style));
      } catch (InputError const& error) {  // nobody asked for it: it may belong to other data
        if (style != report::Progress::Style::silent) std::cerr << error.what() << "\n";
      }
    }
  }
  return results;
}

}  // namespace qlora::cli
