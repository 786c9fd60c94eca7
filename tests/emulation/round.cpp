#include <cmath>

#include <gtest/gtest.h>

#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/round.cuh>

namespace qlora {
namespace {

TEST(RoundKernel, RoundsEveryElementOnce) {
  for (auto const size : {Index{0}, Index{1}, Index{255}, Index{256}, Index{1000}}) {
    auto x = VectorTensor<float, Space::device>{{size}};
    for (auto i = Index{0}; i < size; ++i) x.data()[i] = std::sin(static_cast<float>(i));
    auto const out = VectorTensor<bf16, Space::device>{{size}};
    cuda::round<float, bf16>(x.view(), out.view(), nullptr);
    for (auto i = Index{0}; i < size; ++i) ASSERT_EQ(out.data()[i], bf16{x.data()[i]}) << i;
  }
  auto const x = VectorTensor<float, Space::device>{{3}};
  auto const out = VectorTensor<bf16, Space::device>{{4}};
  EXPECT_THROW((cuda::round<float, bf16>(x.view(), out.view(), nullptr)), ShapeError);
}

}  // namespace
}  // namespace qlora
