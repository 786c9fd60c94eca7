// qlora predict: probabilities of every residue.
#include <cmath>
#include <cstddef>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/data/read.hpp>
#include <qlora/predict/attributes.hpp>
#include <qlora/predict/gff3.hpp>
#include <qlora/predict/json_lines.hpp>
#include <qlora/predict/prediction.hpp>
#include <qlora/predict/tables.hpp>
#include <qlora/predict/windows.hpp>

#include "adapter_options.hpp"
#include "commands.hpp"
#include "files.hpp"
#include "numbers.hpp"

namespace qlora::cli {
namespace {

using AnyFormat = std::variant<predict::Tsv, predict::JsonLines, predict::Gff3, predict::Attributes,
                               predict::Segments>;

/// The format of that name.
template <std::size_t I = 0>
AnyFormat make_format(std::string_view name, predict::Columns columns) {
  if constexpr (I < std::variant_size_v<AnyFormat>) {
    using One = std::variant_alternative_t<I, AnyFormat>;
    static_assert(predict::Format<One>);
    return One::name == name ? AnyFormat{One{columns}} : make_format<I + 1>(name, columns);
  }
  throw InputError{"--format: expected tsv, jsonl, gff3, defattr or segments, found " +
                   std::string{name}};
}

class Predict {
  /// Residues that are read before they are computed: bounds the memory, fills the batches.
  static constexpr std::size_t residues_at_once = std::size_t{1} << 16;

 public:
  AdapterOptions adapter;
  std::string fasta, out, format = "tsv";
  predict::Columns columns;
  predict::WindowOptions window;
  std::optional<double> threshold;  ///< on the probability

  void operator()() {
    check_output(out);
    predict::check(window);
    auto writer = make_format(format, columns);
    if (columns.logits && format != "tsv" && format != "jsonl") {
      throw InputError{"--logits: expected --format tsv or jsonl, found " + format};
    }
    auto total = 0.;  // a first look at the file finds what is wrong with it before work begins
    for_each_protein(fasta, [&](Protein const& protein) {
      total += static_cast<double>(protein.sequence.size());
    });
    session_ = adapter.open();
    auto const rule = labelling();
    if (!adapter.machine.quiet) std::cerr << "predict: labels are " << rule << "\n";
    if (columns.p_site && !adapter.calibration) {
      throw InputError{
          "--calibrated: expected a calibration in the adapter's qlora.json, found none"};
    }
    auto progress = report::Progress{"predict", total, "residues", adapter.machine.progress()};
    write_atomically(out, [&](FileWriter& file) {
      auto text = std::string{};
      std::visit([&](auto& one) { one.begin(text); }, writer);
      auto waiting = std::vector<Protein>{};
      auto residues = std::size_t{0};
      auto done = 0.;
      auto const flush = [&] {
        predict_all(waiting, [&](predict::Prediction const& prediction) {
          std::visit([&](auto& one) { one.add(text, prediction); }, writer);
          file.write(text);
          text.clear();
          progress.update(done += static_cast<double>(prediction.size()));
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
      file.write(text);  // what stands before proteins of a file that has none
    });
  }

 private:
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

  /// Calls `use(prediction)` for each protein in order, put together from its windows.
  template <class Use>
  void predict_all(std::vector<Protein> const& proteins, Use&& use) {
    auto const windows = predict::windows(proteins, window);
    auto const pieces = predict::cut(proteins, windows, window);
    auto logits = std::vector<float>{};  // (residues, 2) of the protein at hand
    located<DivergedError>(fasta, [&] {
      session_->predict(pieces, [&](std::size_t i, Matrix<float const> values) {
        auto const& one = windows[i];
        auto const* const begin = values.row(static_cast<Index>(one.first - one.offset)).data();
        logits.insert(logits.end(), begin, begin + 2 * (one.last - one.first));
        auto const& protein = proteins[one.protein];
        if (one.last < protein.sequence.size()) return;
        use(prediction_of(protein, std::exchange(logits, {})));
      });
    });
  }

  predict::Prediction prediction_of(Protein const& protein, std::vector<float> logits) const {
    auto prediction = predict::Prediction{};
    prediction.id = protein.id;
    prediction.sequence = protein.sequence;
    prediction.logits = std::move(logits);
    for (std::size_t i = 0; i < protein.sequence.size(); ++i) {
      auto const l0 = prediction.logits[2 * i], l1 = prediction.logits[2 * i + 1];
      prediction.probability.push_back(
          static_cast<float>(1. / (1. + std::exp(double{l0} - double{l1}))));
      prediction.is_site.push_back(least_margin_ ? double{l1 - l0} >= *least_margin_ : l1 > l0);
      if (columns.p_site) {
        prediction.p_site.push_back(static_cast<float>(adapter.calibration->probability(l1 - l0)));
      }
    }
    return prediction;
  }

  std::unique_ptr<Session> session_;
  std::optional<double> least_margin_;  ///< of a site; the argmax where there is none
};

}  // namespace

void add_predict(CLI::App& app) {
  auto* const command = app.add_subcommand("predict", "Probability of a site at every residue.");
  auto const predict = std::make_shared<Predict>();
  add_required(*command, "--fasta", predict->fasta,
               "proteins: FASTA, or any format that `prepare` takes");
  add_required(*command, "--out", predict->out, "file to write");
  add_option(*command, "--format", predict->format,
             "tsv (a row a residue: id, position, residue, probability, label), segments (a row a "
             "run of sites), gff3, jsonl, or defattr for ChimeraX")
      ->check(CLI::IsMember({"tsv", "segments", "gff3", "jsonl", "defattr"}));
  add_switch(*command, "--logits", predict->columns.logits,
             "of tsv and jsonl: logit0 and logit1, too");
  add_switch(*command, "--calibrated", predict->columns.p_site,
             "probabilities by the adapter's calibration: p_site in tsv and jsonl, the score in "
             "others");
  add_option(*command, "--window", predict->window.residues,
             "longer proteins are predicted in overlapping windows of so many residues; 0 for "
             "none, since the model has no limit");
  add_option(*command, "--window-margin", predict->window.margin,
             "residues beside a window's cut that its neighbour predicts");
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
