// qlora predict: probabilities of every residue.
#include <cmath>
#include <iostream>
#include <memory>
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

  void operator()() {
    check_output(out);
    auto total = 0.;  // a first look at the file finds what is wrong with it before work begins
    for_each_protein(fasta, [&](Protein const& protein) {
      total += static_cast<double>(protein.sequence.size());
    });
    auto const session = adapter.open();
    auto progress = report::Progress{"predict", total, "residues", adapter.machine.progress()};
    if (!adapter.machine.quiet) std::cerr << "predict: labels are the argmax\n";
    write_atomically(out, [&](FileWriter& file) {
      file.write(logits ? "id\tposition\tresidue\tprobability\tlabel\tlogit0\tlogit1\n"
                        : "id\tposition\tresidue\tprobability\tlabel\n");
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
      text += l1 > l0 ? "\t1" : "\t0";
      if (logits) {
        text += "\t" + exact(l0) + "\t" + exact(l1);
      }
      text += '\n';
    }
    file.write(text);
  }
};

}  // namespace

void add_predict(CLI::App& app) {
  auto* const command = app.add_subcommand("predict", "Probability of a site at every residue.");
  auto const predict = std::make_shared<Predict>();
  add_required(*command, "--fasta", predict->fasta, "proteins: FASTA or three-line");
  add_required(*command, "--out", predict->out,
               "TSV file: id, position, residue, probability, label");
  add_switch(*command, "--logits", predict->logits, "two more columns: logit0, logit1");
  predict->adapter.add_to(*command);
  command->footer(
      "Example:\n  qlora predict --model facebook/esm2_t6_8M_UR50D --adapter adapter \\\n"
      "      --fasta proteins.fasta --out sites.tsv");
  command->callback([predict] { (*predict)(); });
}

}  // namespace qlora::cli
