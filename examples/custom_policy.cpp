// Policies of one's own: how weights are stored, which matrices are adapted and what is measured,
// a struct each. Fine-tunes on labelled proteins and prints a table:
//
//     custom_policy MODEL TRAIN TEST
#include <array>
#include <iostream>
#include <string_view>

#include <qlora/esm2.hpp>
#include <qlora/report/table.hpp>

/// Four bits a weight, each a power of two (or zero) times the largest magnitude of its block:
/// multiplying by such weights would take no multiplier.
struct PowersOfTwo {
  static constexpr std::string_view name = "powers_of_two";
  static constexpr int bits = 4;
  static constexpr qlora::Index block = 64;  // consecutive elements that share a scale
  static constexpr bool double_quantized = false;
  static constexpr std::array<float, 16> codebook = {
      -1.f,      -.5f,     -.25f,   -.125f, -.0625f, -.03125f, -.015625f, 0.f,
      .0078125f, .015625f, .03125f, .0625f, .125f,   .25f,     .5f,       1.f};
};

/// Queries and values alone, and only above the first two layers.
struct LateQueriesAndValues {
  static constexpr bool adapts(qlora::Site site) {
    using enum qlora::SiteKind;
    return site.layer >= 2 && (site.kind == query || site.kind == value);
  }
};

/// Of the residues that are sites or are taken for one, the share that is both.
struct Jaccard {
  static constexpr std::string_view name = "jaccard";
  using Accumulator = qlora::metrics::Confusion;
  static double value(Accumulator const& c) { return Accumulator::ratio(c.tp, c.tp + c.fp + c.fn); }
};

using Metrics = qlora::MetricSet<qlora::metrics::AveragePrecision, qlora::metrics::Mcc, Jaccard>;
using Study = qlora::Experiment<qlora::model::Dynamic, PowersOfTwo, LateQueriesAndValues, Metrics,
                                qlora::backend::Native>;

int main(int argc, char** argv) try {
  if (argc != 4) throw qlora::InputError{"usage: custom_policy MODEL TRAIN TEST"};
  auto const train = qlora::read_binding_sites(argv[2]);
  auto const test = qlora::read_binding_sites(argv[3]);
  auto study = Study::load(argv[1], {.rank = 4, .alpha = 8.f, .dropout = .1f});
  study.fit(train, {.epochs = 3, .learning_rate = 2e-3});

  auto table = qlora::report::Table{
      {{"split", qlora::report::Align::left}, {"average_precision"}, {"mcc"}, {"jaccard"}}};
  auto const add = [&](char const* split, std::vector<qlora::Protein> const& proteins) {
    auto const scores = study.evaluate(proteins);
    table.add({split, scores["average_precision"], scores["mcc"], scores.get<Jaccard>()});
  };
  add("train", train);
  add("test", test);
  std::cout << table.text();
} catch (qlora::InputError const& error) {
  std::cerr << error.what() << "\n";
  return 2;
} catch (std::exception const& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
