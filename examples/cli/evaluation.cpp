#include "evaluation.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iostream>

#include <qlora/core/error.hpp>
#include <qlora/dist/collective.hpp>

#include "termination.hpp"

namespace qlora::cli {

Scoring::Scoring(DataSet const& data, std::string const& label, report::Progress::Style style,
                 metrics::Options const& options, Collectors collectors)
    : proteins_{data.proteins},
      progress_{label, static_cast<double>(residues(data.proteins)), "residues", style},
      set_{options},
      collectors_{collectors} {}

void Scoring::add(std::size_t protein, std::span<float const> logits) {
  auto const& [id, sequence, labels] = proteins_[protein];
  if (!labels.empty()) {
    auto const number = static_cast<std::uint32_t>(protein);
    set_.add(number, logits, labels);
    if (auto* const grouped = collectors_.grouped) grouped->add(number, logits, labels);
    if (collectors_.tracks != nullptr && collectors_.tracks->contains(protein)) {
      auto& track = collectors_.tracks->at(protein);
      for (std::size_t i = 0; i < labels.size(); ++i) {
        auto const margin = double{logits[2 * i + 1]} - double{logits[2 * i]};
        track.push_back(static_cast<float>(metrics::LogOdds{}.probability(margin)));
      }
    }
    if (auto* const resampled = collectors_.resampled) resampled->add(number, logits, labels);
  }
  progress_.update(done_ += static_cast<double>(sequence.size()));
}

metrics::Scores Scoring::finish() {
  progress_.finish();
  return set_.scores();
}

metrics::Scores evaluate(Session& session, DataSet const& data, std::string const& label,
                         report::Progress::Style style, Collectors collectors) {
  auto scoring =
      Scoring{data, label, style, {.class_weights = session.class_weights()}, collectors};
  auto ranks = dist::Collective{session.ranks()};
  // Ranks end together, or some would wait for others' logits; asking takes them a moment.
  constexpr auto proteins_between = std::size_t{64};
  located<DivergedError>(data.file, [&] {
    session.predict(data.proteins, [&](std::size_t i, Matrix<float const> logits) {
      if (i % proteins_between == 0 && ranks.any(Termination::requested())) throw Terminated{};
      scoring.add(i, {logits.data(), static_cast<std::size_t>(logits.size())});
    });
  });
  auto scores = scoring.finish();
  if (std::isnan(scores["roc_auc"]) && style != report::Progress::Style::silent) {
    std::cerr << label << ": roc_auc is not a number: the labels are all of one class\n";
  }
  return scores;
}

}  // namespace qlora::cli
