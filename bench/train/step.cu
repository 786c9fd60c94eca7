/// Steps on a GPU.
#include <qlora/backend/cuda.cuh>

#include "train/step.hpp"

namespace bench {
namespace {

[[maybe_unused]] auto const added =
    add_all<backend::Cuda>({{"8M", shape_of<esm2::T6_8M>()},
                            {"35M", shape_of<esm2::T12_35M>()},
                            {"150M", shape_of<esm2::T30_150M>()},
                            {"650M", shape_of<esm2::T33_650M>()},
                            {"3B", shape_of<esm2::T36_3B>()}},
                           {{1000, 16}, {1000, 8}, {1000, 2}, {256, 1}, {128, 128}, {8192, 2}});

}  // namespace
}  // namespace bench
