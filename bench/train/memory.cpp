/// Memory of a training step on the CPU by length and by number of sequences, layers recomputed in
/// the backward pass or not: training/MODEL/qkv/none/COMPUTE/LxN, and LxN:recompute.
/// bench/memory.py sets the other side's beside it.
#include <qlora/backend/cpu.hpp>

#include "train/step.hpp"

namespace bench {
namespace {

template <class T>
using Cpu = backend::Cpu<backend::BestProducts, T>;

int add_sizes() {
  auto const sizes = std::vector<std::pair<Index, Index>>{
      {250, 8}, {500, 8}, {1000, 8}, {2000, 8}, {1000, 1}, {1000, 2}, {1000, 4}, {1000, 16}};
  for (auto const& [model, shape] : models_of_processors) {
    for (auto const& [length, sequences] : sizes) {
      auto setting = equal_lengths(shape, placement::Sites::of(Qkv{}), quant::Any::parse("none"),
                                   length, sequences);
      add_training<Cpu>(model, setting);
      setting.keep = Keep::inputs;
      setting.name += ":recompute";
      add_training<Cpu>(model, setting);
    }
  }
  return 0;
}

[[maybe_unused]] auto const added = add_sizes();

}  // namespace
}  // namespace bench
