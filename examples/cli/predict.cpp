// qlora predict: probabilities of every residue.
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/data/read.hpp>

#include "adapter_options.hpp"
#include "commands.hpp"
#include "files.hpp"
#include "numbers.hpp"

namespace qlora::cli {
namespace {

struct Predict {
  /// Residues that are read before they are computed: bounds the memory, fills the batches.
  static constexpr std::size_t residues_at_once = std::size_t{1} << 16;

  AdapterOptions adapter;
  std::string fasta, out;
  bool logits = false;
  bool calibrated = false;
  std::optional<double> threshold;  ///< on the probability

  void operator()() {
    check_output(out);
    auto total = 0.;  // a first look at the file finds what is wrong with it before work begins
    for_each_protein(fasta, [&](Protein const& protein) {
      total += static_cast<double>(protein.sequence.size());
    });
    auto const session = adapter.open();
    auto progress = report::Progress{"predict", total, "residues", adapter.machine.progress()};
    auto const rule = labelling();
    if (!adapter.machine.quiet) std::cerr << "predict: labels are " << rule << "\n";
    if (calibrated && !adapter.calibration) {
      throw InputError{
          "--calibrated: expected a calibration in the adapter's qlora.json, found none"};
    }
    write_atomically(out, [&](FileWriter& file) {
      file.write(std::string{"id\tposition\tresidue\tprobability\tlabel"} +
                 (logits ? "\tlogit0\tlogit1" : "") + (calibrated ? "\tp_site" : "") + "\n");
      auto waiting = std::vector<Protein>{};
      auto residues = std::size_t{0};
      auto done = 0.;
      auto const flush = [&] {
        located<DivergedError>(fasta, [&] {
          session->predict(waiting, [&](std::size_t i, Matrix<float const> values) {
            write(file, waiting[i], values);
            progress.update(done += static_cast<double>(values.rows()));
          });
        });
        waiting.clear();
        residues = 0;
      };
      for_each_protein(fasta, [&](Protein&& protein) {
        residues += protein.sequence.size();
        waiting.push_back(std::move(protein));
        if (residues >= residues_at_once) flush();
      });
      flush();
    });
  }

  /// Settles the threshold on the margin, and says where it comes from.
  std::string labelling() {
    if (threshold) {
      least_margin_ = std::log(*threshold) - std::log1p(-*threshold);
      return "1 from the probability --threshold " + exact(*threshold) + " on";
    }
    least_margin_ = adapter.threshold;
    if (!least_margin_) return "the argmax";
    return "1 from the adapter's own threshold on, probability " +
           exact(metrics::LogOdds{}.probability(*least_margin_));
  }

  /// The rows of one protein, from its logits (residues, 2).
  void write(FileWriter& file, Protein const& protein, Matrix<float const> values) const {
    auto text = std::string{};
    for (auto i = Index{0}; i < values.rows(); ++i) {
      auto const l0 = values.row(i)[0];
      auto const l1 = values.row(i)[1];
      text += protein.id + "\t" + std::to_string(i + 1) + "\t";
      text += protein.sequence[static_cast<std::size_t>(i)];
      text += '\t';
      text += exact(static_cast<float>(1. / (1. + std::exp(double{l0} - double{l1}))));
      auto const is_site = least_margin_ ? double{l1 - l0} >= *least_margin_ : l1 > l0;
      text += is_site ? "\t1" : "\t0";
      if (logits) {
        text += "\t" + exact(l0) + "\t" + exact(l1);
      }
      if (calibrated) {
        text += "\t" + exact(static_cast<float>(adapter.calibration->probability(l1 - l0)));
      }
      text += '\n';
    }
    file.write(text);
  }

 private:
  std::optional<double> least_margin_;  ///< of a site; the argmax where there is none
};

}  // namespace

void add_predict(CLI::App& app) {
  auto* const command = app.add_subcommand("predict", "Probability of a site at every residue.");
  auto const predict = std::make_shared<Predict>();
  add_required(*command, "--fasta", predict->fasta,
               "proteins: FASTA, or any format that `prepare` takes");
  add_required(*command, "--out", predict->out,
               "TSV file: id, position, residue, probability, label");
  add_switch(*command, "--logits", predict->logits, "two more columns: logit0, logit1");
  add_switch(*command, "--calibrated", predict->calibrated,
             "one more column: p_site, the probability by the adapter's calibration");
  command
      ->add_option("--threshold", predict->threshold,
                   "probability from which a residue is labelled 1; by default the adapter's own, "
                   "chosen on validation data, else the argmax")
      ->take_last()
      ->check(CLI::Range(0., 1.));
  predict->adapter.add_to(*command);
  command->footer(
      "Example:\n  qlora predict --model facebook/esm2_t6_8M_UR50D --adapter adapter \\\n"
      "      --fasta proteins.fasta --out sites.tsv");
  command->callback([predict] { (*predict)(); });
}

}  // namespace qlora::cli
