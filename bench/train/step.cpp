/// Steps on the CPU.
#include "train/step.hpp"

#include <qlora/backend/cpu.hpp>

namespace bench {
namespace {

template <class T>
using Cpu = backend::Cpu<backend::BestProducts, T>;

[[maybe_unused]] auto const added = add_all<Cpu>({{"8M", shape_of<esm2::T6_8M>()},
                                                  {"35M", shape_of<esm2::T12_35M>()},
                                                  {"150M", shape_of<esm2::T30_150M>()},
                                                  {"650M", shape_of<esm2::T33_650M>()}},
                                                 {{512, 8}, {1000, 8}, {128, 32}, {512, 2}});

}  // namespace
}  // namespace bench
