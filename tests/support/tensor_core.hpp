/// The wrappers of tensor cores' instructions: which lane holds what is checked against the layouts
/// that CuTe gives for SM80_16x8x16. Included where there is a `Device`; see support/verbs.hpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cuda/stream.cuh>
#include <qlora/backend/cuda/tensor_core.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora {
namespace {

template <class U>
using Shared = std::vector<U, Device::Allocator<U>>;

constexpr auto lanes = 32;

// Where value `v` of a lane belongs, matrices stored by columns.
constexpr int place_in_a(int lane, int v) {  // (16, 16)
  return lane % 4 * 32 + lane / 4 + v % 2 * 16 + v / 2 % 2 * 8 + v / 4 * 128;
}
constexpr int place_in_b(int lane, int v) {  // (8, 16): columns of b are its rows
  return lane % 4 * 16 + lane / 4 + v % 2 * 8 + v / 2 * 64;
}
constexpr int place_in_c(int lane, int v) {  // (16, 8)
  return lane % 4 * 32 + lane / 4 + v % 2 * 16 + v / 2 * 8;
}

__global__ void multiply_kernel(cuda::FragmentA const* a, cuda::FragmentB const* b,
                                cuda::FragmentC* c) {
  cuda::multiply_add(c[threadIdx.x], a[threadIdx.x], b[threadIdx.x]);
}

class TensorCore : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Device::available()) GTEST_SKIP() << "needs a device";
    stream_.emplace();
  }
  /// Runs a kernel in one warp, to its end.
  template <class... Parameters, class... Arguments>
  void run(void (*kernel)(Parameters...), Arguments const&... arguments) {
    cuda::launch(kernel, dim3{1}, dim3{lanes}, *stream_, arguments...);
    stream_->synchronize();
  }

 private:
  std::optional<cuda::Stream> stream_;
};

cuda::Pair16 pair(std::vector<float> const& numbers, int first, int second) {
  auto const bits = [&](int i) {
    return cuda::Pair16{bf16{numbers[static_cast<std::size_t>(i)]}.bits};
  };
  return bits(first) | bits(second) << 16;
}

TEST_F(TensorCore, ProductsFollowTheLayouts) {
  auto a = std::vector<float>(256);  // whole numbers, so that sums are exact
  auto b = std::vector<float>(128);
  auto c = std::vector<float>(128);
  for (auto i = std::size_t{0}; i < 256; ++i) a[i] = static_cast<float>(i * 7 % 31) - 15.f;
  for (auto i = std::size_t{0}; i < 128; ++i) {
    b[i] = static_cast<float>(i * 11 % 29) - 14.f;
    c[i] = static_cast<float>(i);
  }
  auto left = Shared<cuda::FragmentA>(lanes);
  auto right = Shared<cuda::FragmentB>(lanes);
  auto sums = Shared<cuda::FragmentC>(lanes);
  for (auto lane = 0; lane < lanes; ++lane) {
    auto const i = static_cast<std::size_t>(lane);
    for (auto v = 0; v < 8; v += 2) {
      left[i].pairs[v / 2] = pair(a, place_in_a(lane, v), place_in_a(lane, v + 1));
    }
    for (auto v = 0; v < 4; v += 2) {
      right[i].pairs[v / 2] = pair(b, place_in_b(lane, v), place_in_b(lane, v + 1));
    }
    for (auto v = 0; v < 4; ++v) {
      sums[i].values[v] = c[static_cast<std::size_t>(place_in_c(lane, v))];
    }
  }
  run(multiply_kernel, left.data(), right.data(), sums.data());
  for (auto lane = 0; lane < lanes; ++lane) {
    for (auto v = 0; v < 4; ++v) {
      auto const place = static_cast<std::size_t>(place_in_c(lane, v));
      auto expected = c[place];
      for (auto k = std::size_t{0}; k < 16; ++k) {
        expected += a[place % 16 + 16 * k] * b[place / 16 + 8 * k];
      }
      EXPECT_EQ(sums[static_cast<std::size_t>(lane)].values[v], expected) << lane << ", " << v;
    }
  }
}

/// 32 rows of 16 bytes, which lie apart.
struct Rows {
  alignas(16) std::uint16_t values[lanes][24];
};

/// in (32, 8), a row a lane; every second row is left out where `sparse`.
template <cuda::Orientation O>
__global__ void load_kernel(std::uint16_t const* in, bool sparse, cuda::Pair16* out) {
  auto& shared = cuda::shared_storage<Rows>();
  auto const lane = static_cast<int>(threadIdx.x);
  auto* const row = shared.values[lane];
  cuda::copy_async<16>(row, in + std::ptrdiff_t{8} * lane, !sparse || lane % 2 == 0);
  cuda::wait_for_copies();
  __syncthreads();
  cuda::Pair16 pairs[4];
  cuda::load_matrices<O>(pairs, row);
  for (auto i = 0; i < 4; ++i) out[4 * lane + i] = pairs[i];
}

TEST_F(TensorCore, LoadsMatricesBothWays) {
  auto in = Shared<std::uint16_t>(std::size_t{lanes} * 8);
  for (auto i = std::size_t{0}; i < in.size(); ++i) in[i] = static_cast<std::uint16_t>(i + 1);
  auto out = Shared<cuda::Pair16>(std::size_t{lanes} * 4);
  for (auto const sparse : {false, true}) {
    auto const element = [&](int matrix, int i, int j) {
      return sparse && i % 2 != 0 ? 0u : static_cast<unsigned>((8 * matrix + i) * 8 + j + 1);
    };
    for (auto const transposed : {false, true}) {
      run(transposed ? load_kernel<cuda::Orientation::transposed>
                     : load_kernel<cuda::Orientation::as_stored>,
          in.data(), sparse, out.data());
      for (auto lane = 0; lane < lanes; ++lane) {
        auto const group = lane / 4;
        auto const part = lane % 4 * 2;
        for (auto matrix = 0; matrix < 4; ++matrix) {
          auto const low = transposed ? element(matrix, part, group) : element(matrix, group, part);
          auto const high =
              transposed ? element(matrix, part + 1, group) : element(matrix, group, part + 1);
          EXPECT_EQ(out[static_cast<std::size_t>(4 * lane + matrix)], low | high << 16)
              << lane << ", " << matrix << (transposed ? ", transposed" : "");
        }
      }
    }
  }
}

__global__ void round_kernel(float const* in, cuda::Pair16* pairs, float* powers) {
  auto const i = std::size_t{threadIdx.x};
  pairs[i] = cuda::pair_of(in[2 * i], in[2 * i + 1]);
  powers[i] = cuda::exp2_fast(in[i]);
}

TEST_F(TensorCore, RoundsLikeTheHost) {
  auto in = Shared<float>(std::size_t{lanes} * 2);
  for (auto i = std::size_t{0}; i < in.size(); ++i) {
    in[i] = (static_cast<float>(i) - 40.f) * 1.0009765625f;  // some of them ties
  }
  auto pairs = Shared<cuda::Pair16>(lanes);
  auto powers = Shared<float>(lanes);
  run(round_kernel, in.data(), pairs.data(), powers.data());
  for (auto i = std::size_t{0}; i < lanes; ++i) {
    EXPECT_EQ(pairs[i],
              cuda::Pair16{bf16{in[2 * i]}.bits} | cuda::Pair16{bf16{in[2 * i + 1]}.bits} << 16);
    EXPECT_NEAR(powers[i], std::exp2(in[i]), 3e-7f * std::exp2(in[i]));
  }
}

}  // namespace
}  // namespace qlora
