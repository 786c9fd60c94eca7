/// Metrics of what a session predicts.
#pragma once

#include <string>

#include <qlora/metrics/group_scores.hpp>
#include <qlora/metrics/scores.hpp>
#include <qlora/report/progress.hpp>

#include "files.hpp"
#include "session.hpp"

namespace qlora::cli {

/// Every metric on labelled proteins, with progress under that label. `grouped`, where there is
/// one, is given the same residues.
metrics::Scores evaluate(Session& session, DataSet const& data, std::string const& label,
                         report::Progress::Style style, metrics::GroupedScores* grouped = nullptr);

}  // namespace qlora::cli
