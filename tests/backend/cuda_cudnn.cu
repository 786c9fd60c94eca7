/// Attention by cuDNN: what it is asked for, which needs no GPU, and on one what comes out.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <qlora/backend/cuda.cuh>
#include <qlora/backend/cuda/attention_cudnn.cuh>

#include "support/gpu.hpp"
#include "support/verb_fixtures.hpp"

namespace qlora {
namespace {

using cuda::CudnnAttention;
using cuda::CudnnAttentionGraph;
using WithCudnn = cuda::Backend<bf16, cuda::CublasLt, CudnnAttention>;

static_assert(Backend<WithCudnn>);
static_assert(Backend<cuda::Backend<float, cuda::CublasLt, CudnnAttention>>);

cuda::CudnnAttentionShape rounded(Index sequences, Index longest, Index head_dim) {
  auto const heads = 1280 / head_dim;
  auto const d = heads * head_dim;
  auto shape =
      CudnnAttention::rounded({nullptr, sequences, longest, sequences * longest, heads, head_dim});
  shape.strides = {3 * d, 3 * d, 3 * d, d, heads, d, 3 * d, 3 * d, 3 * d};
  return shape;
}

TEST(Cudnn, BatchesSharePlans) {
  EXPECT_EQ(rounded(13, 1000, 64), rounded(16, 899, 64));
  EXPECT_EQ(rounded(1, 3, 64), rounded(1, 128, 64));
  EXPECT_NE(rounded(16, 1000, 64), rounded(16, 1025, 64));
  for (auto const longest : {Index{1}, Index{129}, Index{1000}, Index{1025}, Index{5000}}) {
    auto const shape = rounded(3, longest, 64);
    EXPECT_EQ(shape.sequences, 4);
    EXPECT_GE(shape.longest, longest);
    EXPECT_LE(shape.longest, std::max(Index{256}, longest + longest / 4));
  }
}

/// cuDNN's engines ask for the driver's library, if only to see that it is there. Where it is not,
/// CUDA's stand-in for linking does.
bool has_driver_library() {
  return dlopen("libcuda.so.1", RTLD_NOW) != nullptr ||
         dlopen(QLORA_CUDA_DRIVER, RTLD_NOW) != nullptr;
}

/// What CUDA says of an H100.
constexpr auto h100 = R"({
  "deviceVer": 900, "driverVer": 13000, "maxGridSize": [2147483647, 65535, 65535],
  "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "multiProcessorCount": 132,
  "warpSize": 32, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0,
  "supportCoopLaunch": 1, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,
  "l2CacheSize": 52428800, "deviceName": "NVIDIA H100", "cudaDeviceId": 0,
  "totalGlobalMem": 85000000000
})";

TEST(Cudnn, HasEnginesForBothPasses) {
  if (!has_driver_library()) GTEST_SKIP() << "needs the driver's library or its stub";
  auto const device = cuda::cudnn_device(std::string_view{h100});
  for (auto const head_dim : {Index{64}, Index{72}, Index{96}, Index{128}}) {
    auto const shape = rounded(16, 1000, head_dim);
    SCOPED_TRACE(head_dim);
    auto const forward = CudnnAttentionGraph::forward(shape).engine(device);
    ASSERT_TRUE(forward);
    EXPECT_LT(forward->get_number(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, "workspace"), 1 << 20);
    auto const backward = CudnnAttentionGraph::backward(shape).engine(device);
    ASSERT_TRUE(backward);
    // Products of gradients and keys in bf16: the form that adds in one order.
    auto const bytes = backward->get_number(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, "workspace");
    auto const products = 2 * shape.sequences * shape.heads * shape.longest * shape.longest;
    EXPECT_GE(bytes, products);
    EXPECT_LT(bytes, products + (1 << 20));
  }
}

TEST(Cudnn, SaysWhatItRefuses) {
  auto graph = cuda::CudnnGraph{"a test"};
  try {
    graph.data(7, CUDNN_DATA_FLOAT, {-1, 1, 1, 1}, {1, 1, 1, 1});
    FAIL() << "expected an error";
  } catch (SystemError const& error) {
    EXPECT_TRUE(std::string{error.what()}.starts_with("a test, tensor 7: ")) << error.what();
  }
}

class CudnnAttentionVerbs : public AttentionVerbs<bf16, WithCudnn> {};

TEST_F(CudnnAttentionVerbs, AgreeForEveryHeadDim) {
  for (auto const head_dim : {Index{64}, Index{72}, Index{96}, Index{128}}) {
    expect_agreement(batch, 2, head_dim, 8);
    expect_agreement(batch, 2, head_dim, 4 * head_dim);  // as columns of query, key and value
  }
}

TEST_F(CudnnAttentionVerbs, AgreeOverManyTiles) {
  auto const lengths = Batch{{5, 150, 64, 333, 1}};
  for (auto const head_dim : {Index{64}, Index{72}}) expect_agreement(lengths, 3, head_dim, 8);
  expect_agreement(batch, 3, 64, 8);  // by another plan, then by one that is there
  expect_agreement(lengths, 3, 64, 8);
}

TEST_F(CudnnAttentionVerbs, GiveTheSameBitsByOnePlanAPass) {
  using cuda::strided;
  auto const packed = Batch{{5, 150, 64, 333, 1}};
  auto const n = packed.tokens();
  auto const heads = Index{2};
  auto const offsets = packed.packing<Space::device>().offsets;
  auto const shape = cuda::AttentionShape{offsets.data(), 5, 333, n, heads, 64};
  auto const sample = [&] { return Sample<bf16>{n, heads * 64, 1., 8}; };
  auto const constant = []<class T>(Sample<T>& x) {
    return strided(Matrix<T const, Space::device>{x.device()});
  };
  auto q = sample();
  auto k = sample();
  auto v = sample();
  auto dout = sample();

  auto attention = CudnnAttention{};
  auto const run = [&](Sample<bf16>& out, Sample<bf16>& dq, Sample<bf16>& dk, Sample<bf16>& dv) {
    auto lse = Sample<float>{heads, n};
    auto delta = Sample<float>{heads, n};
    attention.forward(cuda::AttentionForward<bf16>{shape, constant(q), constant(k), constant(v),
                                                   strided(out.device()), strided(lse.device())},
                      gpu->stream());
    attention.backward(cuda::AttentionBackward<bf16>{shape, constant(q), constant(k), constant(v),
                                                     constant(out), constant(dout), constant(lse),
                                                     strided(delta.device()), strided(dq.device()),
                                                     strided(dk.device()), strided(dv.device())},
                       gpu->stream());
    Device::wait();
  };
  auto first = std::vector<Sample<bf16>>(4, sample());
  auto second = first;
  run(first[0], first[1], first[2], first[3]);
  run(second[0], second[1], second[2], second[3]);
  for (auto i = std::size_t{0}; i < first.size(); ++i) {
    second[i].expect_near(first[i], 0., "the second time");
  }
  EXPECT_EQ(attention.plans(), 2);
}

/// Heads that are narrow, or no multiple of 8, or rows that are not aligned.
TEST_F(CudnnAttentionVerbs, AgreeWhereTheOwnKernelsServe) {
  expect_agreement(batch, 3, 20, 8);
  expect_agreement(batch, 1, 68, 4);
  expect_agreement(batch, 1, 64, 3);
}

}  // namespace
}  // namespace qlora
