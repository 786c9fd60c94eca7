// Fine-tunes ESM-2 on labelled proteins, prints the card's metrics on others, and saves the
// adapter:
//
//     binding_sites MODEL TRAIN TEST OUT
#include <cstdio>
#include <iostream>

#include <qlora/esm2.hpp>

using Study = qlora::Experiment<qlora::model::Dynamic,  // Model:     layer sizes, from the folder
                                qlora::Nf4<64>,         // Quant:     how frozen weights are stored
                                qlora::AllLinear,       // Placement: which matrices get adapters
                                qlora::CardMetrics,     // Metrics:   what evaluate() returns
                                qlora::backend::Native>;  // Backend:   what computes it

int main(int argc, char** argv) try {
  if (argc != 5) throw qlora::InputError{"usage: binding_sites MODEL TRAIN TEST OUT"};
  auto const train = qlora::read_binding_sites(argv[2]);
  auto const test = qlora::read_binding_sites(argv[3]);
  auto study = Study::load(argv[1], {.rank = 2, .alpha = 1.f, .dropout = .5f, .seed = 17});
  study.fit(train, {.epochs = 1, .learning_rate = 3.7e-4}, [](qlora::StepRecord const& step) {
    std::fprintf(stderr, "step %lld loss %.4f\n", static_cast<long long>(step.step), step.loss);
  });
  std::cout << "train " << study.evaluate(train) << "\ntest  " << study.evaluate(test) << "\n";
  study.save_adapter(argv[4]);
} catch (qlora::InputError const& error) {
  std::cerr << error.what() << "\n";
  return 2;
} catch (std::exception const& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
