/// Steps on the CPU.
#include "train/step.hpp"

#include <qlora/backend/cpu.hpp>

namespace bench {
namespace {

template <class T>
using Cpu = backend::Cpu<backend::BestProducts, T>;

[[maybe_unused]] auto const added =
    add_all<Cpu>(models_of_processors, {{512, 8}, {1000, 8}, {128, 32}, {512, 2}});

}  // namespace
}  // namespace bench
