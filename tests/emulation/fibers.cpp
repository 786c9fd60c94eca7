/// The emulator itself: it runs right kernels exactly, and shows what is wrong with others.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cuda/stream.cuh>
#include <qlora/backend/cuda/tensor_core.cuh>

namespace {

using qlora::cuda::shared_storage;

/// Runs a kernel to its end.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments const&... arguments) {
  auto const stream = qlora::cuda::Stream{};
  qlora::cuda::launch(kernel, grid, block, stream, arguments...);
  stream.synchronize();
}

constexpr auto threads = 96;

struct Numbers {
  float values[threads];
};

enum class Barrier { present, removed };

/// out[i] = in[i] + in[its mirror image], through shared memory.
template <Barrier B>
__global__ void mirror_kernel(float const* in, float* out) {
  auto& shared = shared_storage<Numbers>();
  auto const first = blockIdx.x * blockDim.x;
  shared.values[threadIdx.x] = in[first + threadIdx.x];
  if constexpr (B == Barrier::present) __syncthreads();
  out[first + threadIdx.x] = in[first + threadIdx.x] + shared.values[blockDim.x - 1 - threadIdx.x];
}

/// How many of three blocks' results are wrong.
template <Barrier B>
int wrong_results(std::uint64_t seed) {
  auto in = std::vector<float>(std::size_t{3} * threads);
  for (auto i = std::size_t{0}; i < in.size(); ++i) in[i] = static_cast<float>(i * i);
  auto out = std::vector<float>(in.size(), -1.f);
  emulation::machine().seed = seed;
  launch(mirror_kernel<B>, dim3{3}, dim3{threads}, in.data(), out.data());
  auto wrong = 0;
  for (auto block = 0; block < 3; ++block) {
    for (auto i = 0; i < threads; ++i) {
      auto const at = [&](int thread) {
        return static_cast<std::size_t>(block) * threads + static_cast<std::size_t>(thread);
      };
      wrong += out[at(i)] == in[at(i)] + in[at(threads - 1 - i)] ? 0 : 1;
    }
  }
  return wrong;
}

TEST(Emulation, RunsAllThreadsOfAllBlocks) {
  for (auto seed = 1u; seed < 20; ++seed) EXPECT_EQ(wrong_results<Barrier::present>(seed), 0);
}

#if !defined(EMULATION_TSAN)  // which ends the program at the race
TEST(Emulation, ShowsAMissingBarrierInEveryOrder) {
  for (auto seed = 1u; seed < 20; ++seed) EXPECT_GT(wrong_results<Barrier::removed>(seed), 0);
}
#endif

__global__ void indices_kernel(unsigned* out) {
  auto const thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  auto const block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  ++out[block * blockDim.x * blockDim.y * blockDim.z + thread];
}

TEST(Emulation, NumbersThreadsAndBlocksInThreeDimensions) {
  auto out = std::vector<unsigned>(std::size_t{2} * 3 * 4 * 5 * 6 * 7);
  launch(indices_kernel, dim3{2, 3, 4}, dim3{5, 6, 7}, out.data());
  EXPECT_EQ(out, std::vector<unsigned>(out.size(), 1));
}

/// Sums of each warp, of pairs of neighbours, and the value of lane 3.
__global__ void shuffle_kernel(float* sums, float* pairs, float* third) {
  auto const own = static_cast<float>(threadIdx.x);
  auto sum = own;
  for (auto lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
  sums[threadIdx.x] = sum;
  // Two halves of a warp shuffle on their own, a different number of times.
  auto const half = threadIdx.x % 32 < 16 ? 0x0000ffffu : 0xffff0000u;
  auto pair = own + __shfl_xor_sync(half, own, 1);
  if (half == 0xffff0000u) pair += __shfl_xor_sync(half, 0.f, 2);
  pairs[threadIdx.x] = pair;
  __syncwarp();
  third[threadIdx.x] = __shfl_sync(~0u, own, 3);
  auto const next = __shfl_down_sync(~0u, own, 1u);
  third[threadIdx.x] += next - (threadIdx.x % 32 == 31 ? own : own + 1);
}

TEST(Emulation, ShufflesWithinWarps) {
  auto sums = std::vector<float>(64), pairs = sums, third = sums;
  launch(shuffle_kernel, dim3{1}, dim3{64}, sums.data(), pairs.data(), third.data());
  for (auto i = std::size_t{0}; i < 64; ++i) {
    EXPECT_EQ(sums[i], i < 32 ? 496 : 1520);
    auto const pair = i / 2;
    EXPECT_EQ(pairs[i], static_cast<float>(4 * pair + 1));
    EXPECT_EQ(third[i], i < 32 ? 3 : 35);
  }
}

template <class Kernel, class... Arguments>
std::string error_of(Kernel kernel, unsigned block, Arguments... arguments) {
  try {
    launch(kernel, dim3{1}, dim3{block}, arguments...);
  } catch (emulation::Error const& error) {
    return error.what();
  }
  return "no error";
}

__global__ void returns_early_kernel() {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x < 32) {  // NOLINT(bugprone-branch-clone): that is the fault
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void lonely_shuffle_kernel() {
  if (threadIdx.x != 7) __shfl_xor_sync(~0u, 1.f, 1);
}

__global__ void absent_lane_kernel() {
  if (threadIdx.x < 16) __shfl_xor_sync(0xffffu, 1.f, 16);
}

TEST(Emulation, ReportsBarriersThatSomeThreadsDoNotReach) {
  auto const early = error_of(returns_early_kernel, 64);
  EXPECT_TRUE(early.starts_with("divergent barrier: thread 0 waits at ")) << early;
  EXPECT_TRUE(early.ends_with(", but thread 5 has returned")) << early;
  auto const two = error_of(two_barriers_kernel, 64);
  EXPECT_NE(two.find(", but thread 32 waits at "), std::string::npos) << two;
  auto const lonely = error_of(lonely_shuffle_kernel, 32);
  EXPECT_TRUE(lonely.ends_with(", but thread 7 has returned")) << lonely;
  EXPECT_TRUE(error_of(absent_lane_kernel, 32).ends_with(", which takes no part"));
  auto const short_warp = error_of(lonely_shuffle_kernel, 4);
  EXPECT_TRUE(short_warp.ends_with("for lane 4, which the block does not have")) << short_warp;
  EXPECT_EQ(wrong_results<Barrier::present>(1), 0);  // and goes on
}

__global__ void throwing_kernel() {
  if (threadIdx.x == 3) throw emulation::Error{"thread 3 fails"};
  __syncthreads();
}

TEST(Emulation, PassesOnWhatAThreadThrows) {
  EXPECT_EQ(error_of(throwing_kernel, 64), "thread 3 fails");
}

__global__ void unwritten_kernel(float* out) {
  out[threadIdx.x] = shared_storage<Numbers>().values[0];
}

TEST(Emulation, FillsSharedMemoryWithNan) {
  auto out = std::vector<float>(1);
  launch(unwritten_kernel, dim3{1}, dim3{1}, out.data());
  EXPECT_TRUE(std::isnan(out[0]));
}

struct Octet {
  alignas(16) float values[4];
};

/// What is copied is there when it has been waited for, and not before.
__global__ void copying_kernel(float const* in, float* early, float* late) {
  auto& shared = shared_storage<Octet>();
  qlora::cuda::copy_async<16>(shared.values, in, true);
  early[0] = shared.values[1];
  qlora::cuda::wait_for_copies();
  late[0] = shared.values[1];
}

TEST(Emulation, MakesCopiesLate) {
  auto const in = Octet{{1, 2, 3, 4}};
  auto early = 0.f;
  auto late = 0.f;
  launch(copying_kernel, dim3{1}, dim3{1}, &in.values[0], &early, &late);
  EXPECT_TRUE(std::isnan(early));
  EXPECT_EQ(late, 2);
}

struct OtherNumbers {
  float values[7];
};

__global__ void two_structs_kernel() {
  shared_storage<Numbers>();
  shared_storage<OtherNumbers>();
}

TEST(Emulation, ChecksWhatALaunchAsksFor) {
  EXPECT_EQ(error_of(two_structs_kernel, 1), "a kernel has one struct of shared memory");
  EXPECT_NE(error_of(returns_early_kernel, 1025), "no error");
  EXPECT_NE(error_of(returns_early_kernel, 0), "no error");
}

#if defined(__SANITIZE_ADDRESS__)
__global__ void overrun_kernel(unsigned count) {
  auto* const values = shared_storage<Numbers>().values;
  for (auto i = threadIdx.x; i < count; i += blockDim.x) values[i] = 0;
}

TEST(EmulationDeathTest, LetsAddressSanitizerSeeOverruns) {
  launch(overrun_kernel, dim3{1}, dim3{32}, unsigned{threads});
  EXPECT_DEATH(launch(overrun_kernel, dim3{1}, dim3{32}, unsigned{threads + 1}),
               "heap-buffer-overflow|out of bounds");
}
#endif

#if defined(EMULATION_TSAN)
TEST(EmulationDeathTest, LetsThreadSanitizerSeeRaces) {
  EXPECT_EXIT(
      {
        wrong_results<Barrier::removed>(1);
        std::exit(0);
      },
      [](int status) { return status != 0; }, "data race");
}
#endif

}  // namespace
