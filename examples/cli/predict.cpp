// qlora predict: probabilities of every residue.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
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
#include <qlora/predict/structure.hpp>
#include <qlora/predict/tables.hpp>
#include <qlora/predict/windows.hpp>

#include "adapter_options.hpp"
#include "comma_list.hpp"
#include "commands.hpp"
#include "files.hpp"
#include "notes.hpp"
#include "numbers.hpp"
#include "spread.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

/// Coordinates coloured by the probabilities of their residues, once the last chain has come.
class Coordinates {
 public:
  explicit Coordinates(predict::Structure const& structure) : structure_{&structure} {}

  void begin(std::string&) const {}
  void add(std::string& text, predict::Prediction const& prediction) {
    values_.push_back(prediction.best());
    if (values_.size() == structure_->chains().size()) text += structure_->with_b_factors(values_);
  }

 private:
  predict::Structure const* structure_;
  std::vector<std::vector<float>> values_;
};

using AnyFormat = std::variant<predict::Tsv, predict::JsonLines, predict::Gff3, predict::Attributes,
                               predict::Segments, Coordinates>;

/// The format of that name, of those that need no structure.
template <std::size_t I = 0>
AnyFormat make_format(std::string_view name, predict::Columns columns) {
  if constexpr (I + 1 < std::variant_size_v<AnyFormat>) {
    using One = std::variant_alternative_t<I, AnyFormat>;
    static_assert(predict::Format<One>);
    return One::name == name ? AnyFormat{One{columns}} : make_format<I + 1>(name, columns);
  }
  throw InputError{"--format " + std::string{name} +
                   ": expected --structure beside it, found none"};
}

/// Standard output, to be written like a file.
struct StandardOutput {
  static void write(std::string const& text) {
    std::cout << text;
    if (!std::cout) throw SystemError{"standard output: cannot write to it"};
  }
};

class Predict {
  /// Residues that are read before they are computed: bounds the memory, fills the batches.
  static constexpr std::size_t residues_at_once = std::size_t{1} << 16;

 public:
  AdapterOptions adapter;
  std::string fasta, structure, ensemble, out;
  std::string format;  ///< empty: tsv, or structure where one is given
  predict::Columns columns;
  predict::WindowOptions window;
  std::optional<double> threshold;  ///< on the probability

  void operator()() {
    if (out != "-") check_output(out);
    predict::check(window);
    if (fasta.empty() == structure.empty()) {
      throw InputError{std::string{"expected --fasta or --structure, found "} +
                       (fasta.empty() ? "neither" : "both")};
    }
    columns.spread = !ensemble.empty();
    if (!ensemble.empty() && adapter.adapter.empty()) {
      throw InputError{"--ensemble: expected --adapter beside it, found none"};
    }
    if (!structure.empty()) coordinates_ = predict::Structure::read(structure);
    if (format.empty()) format = coordinates_ ? "structure" : "tsv";
    auto writer = coordinates_ && format == "structure" ? AnyFormat{Coordinates{*coordinates_}}
                                                        : make_format(format, columns);
    if (columns.logits && format != "tsv" && format != "jsonl") {
      throw InputError{"--logits: expected --format tsv or jsonl, found " + format};
    }
    if (coordinates_ && format == "defattr") {
      throw InputError{
          "--structure: expected another format than defattr, which numbers residues from 1, found "
          "that one; by default the structure's B-factors are set"};
    }
    auto attributes = predict::Attributes{columns};
    auto total = 0.;  // a first look at the file finds what is wrong with it before work begins
    for_each([&](Protein const& protein) {
      total += static_cast<double>(protein.sequence.size());
      if (format != "defattr") return;
      located<InputError>(input(), [&] { attributes.admit(protein.id); });
    });
    open_members();
    auto const rule = labelling();
    say_notes();
    if (!adapter.machine.quiet) {
      std::cerr << "predict: labels are " << rule << "\n";
      if (!columns.p_site) {
        std::cerr << "predict: probabilities are inflated by the class weights of training; "
                     "--calibrated has those of a site\n";
      }
    }
    auto progress = report::Progress{"predict", total, "residues", adapter.machine.progress()};
    auto const termination = Termination{};  // leaves no part of a file
    auto const write_to = [&](auto&& file) {
      auto text = std::string{};
      std::visit([&](auto& one) { one.begin(text); }, writer);
      auto waiting = std::vector<Protein>{};
      auto residues = std::size_t{0};
      auto done = 0.;
      auto const flush = [&] {
        auto const predictions =
            predict_all(waiting, [&](double of_these) { progress.update(done + of_these); });
        for (auto const& prediction : predictions) {
          std::visit([&](auto& one) { one.add(text, prediction); }, writer);
          done += static_cast<double>(prediction.size());
          file.write(text);
          text.clear();
        }
        waiting.clear();
        residues = 0;
      };
      for_each([&](Protein protein) {
        residues += protein.sequence.size();
        waiting.push_back(std::move(protein));
        if (residues >= residues_at_once) flush();
      });
      flush();
      file.write(text);  // what stands before proteins of a file that has none
    };
    if (out == "-") {
      write_to(StandardOutput{});
    } else {
      write_atomically(out, write_to);
    }
  }

 private:
  std::string const& input() const { return structure.empty() ? fasta : structure; }

  /// Calls `use(protein)` for each of the input.
  template <class Use>
  void for_each(Use&& use) const {
    if (!coordinates_) return for_each_protein(fasta, use);
    for (auto const& chain : coordinates_->chains()) use(chain);
  }

  /// Throws InputError for an adapter without what the flags ask of it.
  void open_members() {
    auto folders = std::vector{adapter.adapter};
    for (auto const& other : parse_comma_list(ensemble)) {
      if (other.empty() || std::ranges::find(folders, other) != folders.end()) {
        throw InputError{"--ensemble: expected other adapters than --adapter, each once, found " +
                         (other.empty() ? "an empty name" : other)};
      }
      folders.push_back(other);
    }
    for (auto const& folder : folders) {
      auto options = adapter;
      options.adapter = folder;
      auto session = options.open();
      if (columns.p_site && !options.calibration) {
        throw InputError{
            "--calibrated: expected a calibration in the adapter's qlora.json, found none"};
      }
      members_.push_back({std::move(session), options.threshold, options.calibration});
    }
  }

  /// What the labels are.
  std::string labelling() const {
    if (threshold) return "1 from the probability --threshold " + exact(*threshold) + " on";
    if (members_.size() > 1)
      return "those of most adapters, each by its own threshold or the argmax";
    auto const& own = members_.front().least_margin;
    if (!own) return "the argmax";
    return "1 from the adapter's own threshold on, probability " +
           exact(metrics::LogOdds{}.probability(*own));
  }

  struct Member {
    std::unique_ptr<Session> session;
    std::optional<double> least_margin;  ///< of a site; the argmax where there is none
    std::optional<metrics::LogOdds> calibration;
  };

  /// Of each protein; `on_residues` is told how many are behind.
  template <class OnResidues>
  std::vector<predict::Prediction> predict_all(std::vector<Protein> const& proteins,
                                               OnResidues&& on_residues) {
    auto const windows = predict::windows(proteins, window);
    auto const pieces = predict::cut(proteins, windows, window);
    auto logits =
        std::vector<std::vector<std::vector<float>>>{};  // (members, proteins, residues 2)
    auto done = 0.;
    for (auto& member : members_) {
      auto& own = logits.emplace_back(proteins.size());
      located<DivergedError>(input(), [&] {
        member.session->predict(pieces, [&](std::size_t i, Matrix<float const> values) {
          auto const& [protein, offset, first, last] = windows[i];
          auto const* const begin = values.row(static_cast<Index>(first - offset)).data();
          own[protein].insert(own[protein].end(), begin, begin + 2 * (last - first));
          done += static_cast<double>(last - first) / static_cast<double>(members_.size());
          on_residues(done);
          Termination::check();
        });
      });
    }
    auto predictions = std::vector<predict::Prediction>{};
    for (std::size_t p = 0; p < proteins.size(); ++p) {
      auto of_members = std::vector<std::span<float const>>{};
      for (auto const& own : logits) of_members.emplace_back(own[p]);
      predictions.push_back(combined(proteins[p], of_members));
    }
    return predictions;
  }

  /// Means over the members, from the logits (residues, 2) of each.
  predict::Prediction combined(Protein const& protein,
                               std::vector<std::span<float const>> const& logits) const {
    auto prediction = predict::Prediction{};
    prediction.id = protein.id;
    prediction.sequence = protein.sequence;
    auto const n = static_cast<double>(members_.size());
    for (std::size_t i = 0; i < protein.sequence.size(); ++i) {
      auto l0 = 0., l1 = 0., votes = 0.;
      auto probabilities = std::vector<double>{}, calibrated = std::vector<double>{};
      for (std::size_t m = 0; m < members_.size(); ++m) {
        auto const& member = members_[m];
        auto const own0 = logits[m][2 * i], own1 = logits[m][2 * i + 1];
        l0 += own0 / n;
        l1 += own1 / n;
        probabilities.push_back(1. / (1. + std::exp(double{own0} - double{own1})));
        if (columns.p_site) calibrated.push_back(member.calibration->probability(own1 - own0));
        auto const& least = member.least_margin;
        votes += (least ? double{own1 - own0} >= *least : own1 > own0) ? 1. : 0.;
      }
      auto const [mean, deviation] = spread(probabilities);
      prediction.logits.insert(prediction.logits.end(),
                               {static_cast<float>(l0), static_cast<float>(l1)});
      prediction.probability.push_back(static_cast<float>(mean));
      if (columns.p_site) {
        auto const of_site = spread(calibrated);
        prediction.p_site.push_back(static_cast<float>(of_site.mean));
        if (columns.spread) prediction.spread.push_back(static_cast<float>(of_site.deviation));
      } else if (columns.spread) {
        prediction.spread.push_back(static_cast<float>(deviation));
      }
      prediction.is_site.push_back(threshold ? mean >= *threshold : 2 * votes > n);
    }
    return prediction;
  }

  std::optional<predict::Structure> coordinates_;
  std::vector<Member> members_;
};

}  // namespace

void add_predict(CLI::App& app) {
  auto* const command = app.add_subcommand("predict", "Probability of a site at every residue.");
  auto const predict = std::make_shared<Predict>();
  add_name(*command, "--fasta", predict->fasta,
           "proteins: FASTA, or any format that `prepare` takes");
  add_option(
      *command, "--structure", predict->structure,
      "instead, a PDB or mmCIF file: its chains are predicted, and --out is the file with 100 "
      "times the probabilities as B-factors, unless another --format is asked for");
  add_required(*command, "--out", predict->out, "file to write; - is standard output");
  add_option(*command, "--format", predict->format,
             "tsv (a row a residue: id, position, residue, probability, label), segments (a row a "
             "run of sites), gff3, jsonl, defattr for ChimeraX, or structure; tsv by default, "
             "structure with --structure")
      ->check(CLI::IsMember({"tsv", "segments", "gff3", "jsonl", "defattr", "structure"}));
  add_option(*command, "--ensemble", predict->ensemble,
             "further adapters, with commas: probabilities are means, and tsv and jsonl get their "
             "standard deviation, spread");
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
      ->check(number_of_text)
      ->check(CLI::Range(0., 1.));
  predict->adapter.add_to(*command);
  command->footer(
      "Example:\n  qlora predict --model facebook/esm2_t6_8M_UR50D --adapter adapter \\\n"
      "      --fasta proteins.fasta --out sites.tsv");
  command->callback([predict] { (*predict)(); });
}

}  // namespace qlora::cli
