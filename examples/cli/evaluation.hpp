/// Metrics of what a session predicts.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <qlora/metrics/group_scores.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/metrics/scores.hpp>
#include <qlora/report/progress.hpp>

#include "files.hpp"
#include "session.hpp"

namespace qlora::cli {

/// Metrics of whatever gives logits, protein by protein, with progress under a label.
class Scoring {
 public:
  /// `grouped`, where there is one, is given the same residues.
  Scoring(DataSet const& data, std::string const& label, report::Progress::Style style,
          metrics::Options const& options, metrics::GroupedScores* grouped);

  /// Logits (residues, 2) of that protein of the data; one without labels counts as done.
  void add(std::size_t protein, std::span<float const> logits);
  metrics::Scores finish();

 private:
  std::span<Protein const> proteins_;
  report::Progress progress_;
  double done_ = 0.;
  metrics::Chosen set_;
  metrics::GroupedScores* grouped_;
};

/// Every metric on labelled proteins, with progress under that label. `grouped`, where there is
/// one, is given the same residues.
metrics::Scores evaluate(Session& session, DataSet const& data, std::string const& label,
                         report::Progress::Style style, metrics::GroupedScores* grouped = nullptr);

}  // namespace qlora::cli
