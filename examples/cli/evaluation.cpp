#include "evaluation.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <span>

#include <qlora/core/error.hpp>
#include <qlora/metrics/metric_set.hpp>

namespace qlora::cli {

metrics::Scores evaluate(Session& session, DataSet const& data, std::string const& label,
                         report::Progress::Style style, metrics::GroupedScores* grouped) {
  auto const& proteins = data.proteins;
  auto progress =
      report::Progress{label, static_cast<double>(residues(proteins)), "residues", style};
  auto done = 0.;
  auto set = metrics::Chosen{metrics::Options{.class_weights = session.class_weights()}};
  located<DivergedError>(data.file, [&] {
    session.predict(proteins, [&](std::size_t i, Matrix<float const> logits) {
      auto const& labels = proteins[i].labels;
      auto const number = static_cast<std::uint32_t>(i);
      auto const values = std::span{logits.data(), static_cast<std::size_t>(logits.size())};
      if (!labels.empty()) {
        set.add(number, values, labels);
        if (grouped != nullptr) grouped->add(number, values, labels);
      }
      progress.update(done += static_cast<double>(proteins[i].sequence.size()));
    });
  });
  progress.finish();
  auto scores = set.scores();
  if (std::isnan(scores["roc_auc"]) && style != report::Progress::Style::silent) {
    std::cerr << label << ": roc_auc is not a number: the labels are all of one class\n";
  }
  return scores;
}

}  // namespace qlora::cli
