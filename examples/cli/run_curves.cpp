#include "run_curves.hpp"

#include <algorithm>
#include <numeric>

#include <qlora/core/rounding.hpp>
#include <qlora/metrics/curves.hpp>

namespace qlora::cli {
void add_ranking(RunCurves& curves, metrics::Ranking const& ranking,
                 metrics::LogOdds const& log_odds) {
  curves.calibration = metrics::reliability_curve(ranking, log_odds);
  if (ranking.positives() == 0 || ranking.negatives() == 0) return;
  auto const roc = metrics::roc_curve(ranking);
  auto const points = roc.false_positive_rate.size();
  auto at = std::size_t{0};
  for (std::size_t i = 0; i < RunCurves::places; ++i) {
    while (at + 1 < points && roc.false_positive_rate[at + 1] <= RunCurves::place(i)) ++at;
    auto value = roc.true_positive_rate[at];
    if (at + 1 < points) {  // linear to the next point
      auto const share = (RunCurves::place(i) - roc.false_positive_rate[at]) /
                         (roc.false_positive_rate[at + 1] - roc.false_positive_rate[at]);
      value += share * (roc.true_positive_rate[at + 1] - value);
    }
    curves.sensitivity.push_back(value);
  }
  // Precision at the highest threshold that reaches a recall; for 0, that finds a site at all.
  auto const pr = metrics::precision_recall_curve(ranking);
  auto from_end = pr.recall.size() - 1;  // recall falls along the curve
  for (std::size_t i = 0; i < RunCurves::places; ++i) {
    while (from_end > 0 &&
           (pr.recall[from_end] < RunCurves::place(i) || pr.recall[from_end] == 0.)) {
      --from_end;
    }
    curves.precision.push_back(pr.precision[from_end]);
  }
}

void add_losses(RunCurves& curves, std::span<double const> steps, std::span<double const> losses) {
  auto const stretch = ceil_div(losses.size(), RunCurves::loss_points);
  auto const mean = [](std::span<double const> values) {
    return std::accumulate(values.begin(), values.end(), 0.) / static_cast<double>(values.size());
  };
  for (std::size_t first = 0; first < losses.size(); first += stretch) {
    auto const count = std::min(stretch, losses.size() - first);
    curves.steps.push_back(mean(steps.subspan(first, count)));
    curves.losses.push_back(mean(losses.subspan(first, count)));
  }
}

std::vector<std::size_t> shown_proteins(std::span<Protein const> proteins, std::size_t count) {
  constexpr auto longest = std::size_t{600};
  auto fit = std::vector<std::size_t>{};
  for (std::size_t p = 0; p < proteins.size(); ++p) {
    auto const& labels = proteins[p].labels;
    if (proteins[p].sequence.size() <= longest &&
        std::ranges::find(labels, label_positive) != labels.end() &&
        2 * std::ranges::count_if(labels, is_known) > std::ranges::ssize(labels)) {
      fit.push_back(p);
    }
  }
  if (fit.size() <= count) return fit;
  auto shown = std::vector<std::size_t>{};
  for (std::size_t i = 0; i < count; ++i)
    shown.push_back(fit[(2 * i + 1) * fit.size() / (2 * count)]);
  return shown;
}

OrderedJson RunCurves::json() const {
  auto bins = OrderedJson::array();
  for (auto const& [predicted, observed, residues] : calibration) {
    bins.push_back({predicted, observed, residues});
  }
  return {{"steps", steps},
          {"losses", losses},
          {"sensitivity", sensitivity},
          {"precision", precision},
          {"calibration", std::move(bins)},
          {"tracks", tracks}};
}

RunCurves RunCurves::from_json(Json const& json) {
  auto curves = RunCurves{};
  json.at("steps").get_to(curves.steps);
  json.at("losses").get_to(curves.losses);
  json.at("sensitivity").get_to(curves.sensitivity);
  json.at("precision").get_to(curves.precision);
  for (auto const& bin : json.at("calibration")) {
    curves.calibration.push_back(
        {.predicted = bin.at(0), .observed = bin.at(1), .residues = bin.at(2)});
  }
  json.at("tracks").get_to(curves.tracks);
  return curves;
}

}  // namespace qlora::cli
