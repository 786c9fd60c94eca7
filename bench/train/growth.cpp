/// How the cost of a training step on the CPU grows with the length of sequences, at 4,096 tokens a
/// step: training/MODEL/qkv/none/COMPUTE/LxN. bench/growth.py draws it.
#include <qlora/backend/cpu.hpp>

#include "train/step.hpp"

namespace bench {
namespace {

template <class T>
using Cpu = backend::Cpu<backend::BestProducts, T>;

int add_lengths() {
  constexpr auto tokens = Index{4096};
  for (auto const& [model, shape] : models_of_processors) {
    for (auto length = Index{64}; length <= tokens; length *= 2) {
      add_training<Cpu>(model, equal_lengths(shape, placement::Sites::of(Qkv{}),
                                             quant::Any::parse("none"), length, tokens / length));
    }
  }
  return 0;
}

[[maybe_unused]] auto const added = add_lengths();

}  // namespace
}  // namespace bench
