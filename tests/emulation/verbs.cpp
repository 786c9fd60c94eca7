/// The verbs of the CUDA backend, their kernels run on the CPU.
#include <memory>

#include <qlora/backend/cuda/backend.cuh>

#include "emulation/products.hpp"

namespace {

struct Device {
  template <class T>
  using Backend = qlora::cuda::Backend<T, emulation::Products>;
  template <class U>
  using Allocator = std::allocator<U>;
  static bool available() { return true; }
  static void wait() {}
  static void shuffle(unsigned seed) { emulation::machine().seed = seed; }
};

}  // namespace

#include "support/verbs.hpp"
