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
  for (auto const& [model, shape] :
       {std::pair{"8M", shape_of<esm2::T6_8M>()}, std::pair{"35M", shape_of<esm2::T12_35M>()},
        std::pair{"150M", shape_of<esm2::T30_150M>()}}) {
    for (auto const& [length, sequences] :
         std::initializer_list<std::pair<Index, Index>>{{250, 8},
                                                        {500, 8},
                                                        {1000, 8},
                                                        {2000, 8},
                                                        {1000, 1},
                                                        {1000, 2},
                                                        {1000, 4},
                                                        {1000, 16}}) {
      auto setting = equal_lengths(shape, placement::Sites::of(Qkv{}), quant::Any::parse("none"),
                                   length, sequences);
      for (auto const keep : {Keep::everything, Keep::inputs}) {
        setting.keep = keep;
        if (keep == Keep::inputs) setting.name += ":recompute";
        add<Cpu<float>>(name_of("training", model, setting, "fp32"), train<Cpu<float>>, setting);
        add<Cpu<bf16>>(name_of("training", model, setting, "bf16"), train<Cpu<bf16>>, setting);
      }
    }
  }
  return 0;
}

[[maybe_unused]] auto const added = add_sizes();

}  // namespace
}  // namespace bench
