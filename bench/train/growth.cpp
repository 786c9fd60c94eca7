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
  for (auto const& [model, shape] :
       {std::pair{"8M", shape_of<esm2::T6_8M>()}, std::pair{"35M", shape_of<esm2::T12_35M>()},
        std::pair{"150M", shape_of<esm2::T30_150M>()},
        std::pair{"650M", shape_of<esm2::T33_650M>()}}) {
    for (auto length = Index{64}; length <= tokens; length *= 2) {
      auto const setting = equal_lengths(shape, placement::Sites::of(Qkv{}),
                                         quant::Any::parse("none"), length, tokens / length);
      add<Cpu<float>>(name_of("training", model, setting, "fp32"), train<Cpu<float>>, setting);
      add<Cpu<bf16>>(name_of("training", model, setting, "bf16"), train<Cpu<bf16>>, setting);
    }
  }
  return 0;
}

[[maybe_unused]] auto const added = add_lengths();

}  // namespace
}  // namespace bench
