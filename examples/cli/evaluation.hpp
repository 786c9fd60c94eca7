/// Metrics of what a session predicts.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <qlora/metrics/group_scores.hpp>
#include <qlora/metrics/logistic_regression.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/metrics/scores.hpp>
#include <qlora/report/progress.hpp>

#include "files.hpp"
#include "intervals.hpp"
#include "session.hpp"

namespace qlora::cli {

/// Probabilities of each residue of the proteins, by their numbers, that it was made with.
using Tracks = std::map<std::size_t, std::vector<float>>;

/// What else is given the residues that are evaluated, where it is there.
struct Collectors {
  metrics::GroupedScores* grouped = nullptr;
  ResampledMetrics* resampled = nullptr;
  Tracks* tracks = nullptr;
};

/// Metrics of whatever gives logits, protein by protein, with progress under a label.
class Scoring {
 public:
  Scoring(DataSet const& data, std::string const& label, report::Progress::Style style,
          metrics::Options const& options, Collectors collectors = {});

  /// Logits (residues, 2) of that protein of the data; one without labels counts as done.
  void add(std::size_t protein, std::span<float const> logits);
  metrics::Scores finish();

 private:
  std::span<Protein const> proteins_;
  report::Progress progress_;
  double done_ = 0.;
  metrics::Chosen set_;
  Collectors collectors_;
};

/// Every metric on labelled proteins, with progress under that label.
metrics::Scores evaluate(Session& session, DataSet const& data, std::string const& label,
                         report::Progress::Style style, Collectors collectors = {});

}  // namespace qlora::cli
