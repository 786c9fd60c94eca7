// Sums of what lies on a GPU: with one rank, which is all that a machine with one GPU can have.
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cuda.cuh>
#include <qlora/dist/any.hpp>
#include <qlora/dist/nccl.cuh>

#include "support/gpu.hpp"

namespace qlora {
namespace {

static_assert(dist::Communicator<dist::Nccl<dist::Any>>);

TEST(Nccl, SumsWhatLiesOnTheDevice) {
  if (!Device::available()) GTEST_SKIP() << "needs a device";
  auto alone = dist::Any{};
  auto const stream = cuda::Stream{};
  EXPECT_TRUE(dist::Nccl<dist::Any>::has_gpu_each(alone));
  auto ranks = dist::Nccl<dist::Any>{alone, stream};
  auto values = std::vector<float>(1000);
  std::iota(values.begin(), values.end(), 1.f);
  auto const view = Vector<float>{values.data(), {1000}};
  auto const on_device = copied_to<Space::device>(view);
  ranks.sum(on_device.view());
  auto const sums = copied_to<Space::host>(on_device.view());
  for (auto i = Index{0}; i < view.size(); ++i) EXPECT_EQ(sums.view()[i], view[i]);
}

}  // namespace
}  // namespace qlora
