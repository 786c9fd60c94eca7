/// Steps on a GPU; for a few shapes also with every kernel queued by itself (bf16-eager), and with
/// algorithms of products that were timed (bf16-timed).
#include <utility>

#include <qlora/backend/cuda.cuh>

#include "train/step.hpp"

namespace bench {

struct Eager : qlora::backend::Cuda<qlora::bf16> {
  template <class Body>
  void repeat(Repeats&, qlora::BatchShape const&, Body&& body) {
    std::forward<Body>(body)();
  }
};
using Timed = qlora::cuda::Backend<qlora::bf16, qlora::cuda::TimedCublasLt>;

namespace {

int add_variants() {
  for (auto const& [model, shape] : {models[0], models[3]}) {
    for (auto const& [length, sequences] : {std::pair<Index, Index>{256, 1}, {1000, 8}}) {
      auto const setting = equal_lengths(shape, placement::Sites::of(Qkv{}),
                                         quant::Any::parse("nf4"), length, sequences);
      add<Eager>(name_of("training", model, setting, "bf16-eager"), train<Eager>, setting);
      add<Timed>(name_of("training", model, setting, "bf16-timed"), train<Timed>, setting);
    }
  }
  return 0;
}

[[maybe_unused]] auto const added =
    add_all<backend::Cuda>(models,
                           {{1000, 16}, {1000, 8}, {1000, 2}, {256, 1}, {128, 128}, {8192, 2}}) +
    add_variants();

}  // namespace
}  // namespace bench
