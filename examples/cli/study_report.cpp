#include "study_report.hpp"

#include <cstddef>
#include <string>

#include <qlora/report/page.hpp>
#include <qlora/report/published.hpp>

#include "baselines.hpp"
#include "scores_table.hpp"
#include "study_figures.hpp"

namespace qlora::cli {
namespace {

/// What the names of arms and baselines mean.
report::Table meanings(Comparison const& comparison) {
  auto table = report::Table{{{"name", report::Align::left}, {"what it is", report::Align::left}}};
  for (auto const& one : comparison.arms) table.add({one.arm.name, one.arm.meaning()});
  for (auto const& [name, result] : comparison.baselines) {
    table.add({name, std::string{baseline_meaning(name)}});
  }
  return table;
}

}  // namespace

std::string study_report(Comparison const& comparison, Splits const& splits,
                         Provenance const& provenance) {
  auto page = report::Page{"Comparison of adapters"};
  page.paragraph(
      "Which adapters find binding sites better? Arms were trained with the same data in the same "
      "order, and are compared by average precision on the test split, averaged over groups of "
      "related proteins.");
  auto data = provenance.model;
  splits.for_each([&](char const* name, DataSet const& set) {
    data += ", " + std::to_string(set.proteins.size()) + " records in " + name;
  });
  page.paragraph(data + "; " + std::to_string(comparison.arms.front().seeds.size()) +
                 " seeds an arm.");
  page.table(meanings(comparison));
  auto rows = comparison.differences();
  auto const nothing = comparison.null_difference();
  page.heading("What the study says");
  for (std::size_t i = 0; i + 1 < comparison.arms.size(); ++i) {
    page.paragraph(rows[i].sentence() + ".");
  }
  if (nothing) page.paragraph("Where nothing differs, " + nothing->sentence() + ".");
  page.table(report::level_table(comparison.studies()));
  if (nothing) rows.push_back(*nothing);
  if (!rows.empty()) page.table(report::difference_table(rows));
  add_difference_figure(page, comparison);
  page.heading("Groups and overfitting");
  add_group_figures(page, comparison, splits);
  if (auto const pairs = comparison.at_equal_loss(); !pairs.empty()) {
    page.paragraph(
        "At equal training loss: where two arms fit the training data equally well. Here a gap is "
        "the test loss minus that on a sample of the training split after an epoch.");
    page.table(equal_loss_table(pairs));
  }
  page.heading("Curves");
  add_loss_figures(page, comparison);
  add_curve_figures(page, comparison);
  page.heading("Residues of single proteins");
  page.paragraph(
      "Test proteins of at most 600 residues, most of them known, from all along the file. Black "
      "marks are sites, grey ones unknown; below them, probabilities, means of the seeds, from 0, "
      "blank, to 1, darkest. Point at a residue for its numbers.");
  add_tracks(page, comparison, splits);
  if (!comparison.rates.empty()) {
    page.heading("Learning rates");
    page.paragraph(
        "Each arm took the rate with the best average precision on the validation split. Where "
        "that "
        "is the largest or the smallest tried, a wider choice may be better.");
    page.table(comparison.rates_table());
  }
  page.heading("Cost");
  add_cost_figures(page, comparison);
  page.heading("Every metric");
  page.paragraph(
      "Means over seeds, all residues of a split pooled; gap is train minus test. auc_card is the "
      "balanced accuracy that the model card published as AUC.");
  page.table(comparison.metrics_table());
  if (auto const decided = comparison.decisions_table(); !decided.empty()) {
    page.paragraph(
        "Those numbers are at the argmax, which class weights move far from where it serves best. "
        "Each "
        "run also chose on the validation split the thresholds at which MCC and F1 are largest, "
        "and a "
        "calibration. On the test split they give:");
    page.table(decided);
  }
  page.heading("The published study");
  page.paragraph(
      "The model card's numbers for ESM-2 8M, its runs under its names: other data, one run each, "
      "mixed protocols.");
  page.table(report::published_table());
  add_provenance(page, provenance, splits);
  return page.text();
}

}  // namespace qlora::cli
