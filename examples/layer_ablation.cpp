// Which layer's adapters matter: fine-tunes with adapters in one encoder layer at a time, in none
// and in all, and prints what each fits and how much of it carries over:
//
//     layer_ablation MODEL TRAIN TEST
#include <iostream>
#include <string>
#include <vector>

#include <qlora/esm2.hpp>
#include <qlora/report/table.hpp>

using qlora::placement::Sites;
using AveragePrecision = qlora::metrics::AveragePrecision;
using Study = qlora::Experiment<qlora::model::Dynamic, qlora::Nf4<64>, Sites,
                                qlora::MetricSet<AveragePrecision>, qlora::backend::Native>;

/// No layer, each layer alone, all layers; in every matrix of a layer.
std::vector<Sites> arms(int layers) {
  auto arms = std::vector<Sites>{{"none", [](qlora::Site) { return false; }}};
  for (auto layer = 0; layer < layers; ++layer) {
    arms.push_back({"layer " + std::to_string(layer),
                    [layer](qlora::Site site) { return site.layer == layer; }});
  }
  arms.push_back({"all", [layers](qlora::Site site) { return site.layer < layers; }});
  return arms;
}

int main(int argc, char** argv) try {
  if (argc != 4) throw qlora::InputError{"usage: layer_ablation MODEL TRAIN TEST"};
  auto const train = qlora::read_binding_sites(argv[2]);
  auto const test = qlora::read_binding_sites(argv[3]);
  auto const folder = qlora::ModelFolder{qlora::find_model(argv[1])};

  auto table = qlora::report::Table{
      {{"adapters", qlora::report::Align::left}, {"parameters"}, {"train"}, {"test"}, {"gap"}}};
  for (auto const& arm : arms(static_cast<int>(folder.config().shape.layers))) {
    std::cerr << arm.name << "\n";
    auto study = Study::load(argv[1], {.rank = 4, .alpha = 8.f, .dropout = .1f}, {}, arm);
    study.fit(train, {.epochs = 3, .learning_rate = 2e-3});
    auto const fitted = study.evaluate(train).get<AveragePrecision>();
    auto const carried = study.evaluate(test).get<AveragePrecision>();
    table.add({arm.name, study.trainable_parameters(), fitted, carried, fitted - carried});
  }
  std::cout << "average precision\n" << table.text();
} catch (qlora::InputError const& error) {
  std::cerr << error.what() << "\n";
  return 2;
} catch (std::exception const& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
