/// The kernel that expands quantized matrices, run on the CPU, against the host's function: equal
/// to the bit.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include <qlora/backend/cuda/dequantize.cuh>
#include <qlora/quant/any.hpp>
#include <qlora/quant/dequantize.hpp>

#include "support/example.hpp"
#include "support/rounded.hpp"

namespace qlora {
namespace {

using testing::example;
using testing::rounded_to;
using testing::Thirds;

/// Whether the kernel gives the host's bits, at an output that is `shift` elements off alignment.
template <class T, class S>
void expect_equal(Quantized<S> const& host, Index shift = 0) {
  auto const rows = host.rows();
  auto const columns = host.columns();
  SCOPED_TRACE(std::string{host.scheme().name} + " " + std::to_string(rows) + "x" +
               std::to_string(columns));
  auto expected = MatrixTensor<T>{{rows, columns}};
  dequantize(host, expected.view());

  auto const stream = cuda::Stream{};
  auto const device = copied_to<Space::device>(host);
  auto memory = VectorTensor<T, Space::device>{{rows * columns + shift}};
  auto const out = Matrix<T, Space::device>{memory.data() + shift, {rows, columns}};
  cuda::dequantize(device, out, stream);
  auto const found = copied_to<Space::host>(memory.view());
  EXPECT_EQ(std::memcmp(found.data() + shift, expected.data(),
                        static_cast<std::size_t>(expected.size()) * sizeof(T)),
            0);
}
template <class T, class S>
void expect_equal(S const& scheme, Index rows, Index columns, Index shift = 0) {
  expect_equal<T>(quantize(scheme, example(rows, columns)), shift);
}

template <class S>
class DequantizeKernel : public ::testing::Test {};
using Schemes = ::testing::Types<Nf4<64>, Fp4<128>, Nf4<2>, Int8, Full<float>, Full<bf16>, Thirds>;
TYPED_TEST_SUITE(DequantizeKernel, Schemes);

TYPED_TEST(DequantizeKernel, GivesTheBitsOfTheHost) {
  for (auto const& [rows, columns] : {std::pair<Index, Index>{1, 1},
                                      {1, 2},
                                      {7, 9},
                                      {1, 63},
                                      {1, 64},
                                      {5, 13},
                                      {64, 64},    // one tile
                                      {4097, 1},   // a tile and an element
                                      {100, 167},  // several nested blocks, all ends ragged
                                      {3, 8192}}) {
    expect_equal<float>(TypeParam{}, rows, columns);
    expect_equal<bf16>(TypeParam{}, rows, columns);
    expect_equal<double>(TypeParam{}, rows, columns);
  }
  expect_equal<float>(TypeParam{}, 7, 9, 1);
  expect_equal<bf16>(TypeParam{}, 64, 80, 1);
}

TEST(DequantizeKernel, TakesSchemesAtRunTime) {
  for (auto const* const name : {"none", "nf4", "fp4", "int8"}) {
    expect_equal<bf16>(quant::Any::parse(name), 33, 77);
  }
}

TEST(DequantizeKernel, RoundsAsThePartsSay) {
  auto const matrix = quantize(Nf4<64>{}, example(33, 77));
  for (auto const rounding : {quant::Rounding::half, quant::Rounding::bf16}) {
    expect_equal<float>(rounded_to(rounding, matrix));
    expect_equal<bf16>(rounded_to(rounding, matrix));
  }
}

TEST(DequantizeKernel, DoesNotDependOnTheOrderOfThreads) {
  for (auto seed = 1u; seed < 10; ++seed) {
    emulation::machine().seed = seed;
    expect_equal<float>(Nf4<64>{}, 40, 104);
  }
}

TEST(DequantizeKernel, ReadsPlainScales) {
  auto parts = quant::Parts<Space::device>{.codes = VectorTensor<std::uint8_t, Space::device>{{1}},
                                           .scales = VectorTensor<float, Space::device>{{1}}};
  *parts.codes.data() = 0x0f;
  *parts.scales.data() = 3;
  auto const matrix = Quantized<Nf4<64>, Space::device>{{}, 1, 2, std::move(parts)};
  auto out = MatrixTensor<float, Space::device>{{1, 2}};
  cuda::dequantize(matrix, out.view(), cuda::Stream{});
  EXPECT_EQ(out.data()[0], -3);
  EXPECT_EQ(out.data()[1], 3);
}

TEST(DequantizeKernel, ChecksItsOutput) {
  auto const matrix = moved_to<Space::device>(quantize(Int8{}, example(4, 6)));
  auto out = MatrixTensor<float, Space::device>{{4, 7}};
  EXPECT_THROW(cuda::dequantize(matrix, out.view(), cuda::Stream{}), ShapeError);
  EXPECT_THROW(cuda::dequantize(matrix, out.view().columns(0, 6), cuda::Stream{}), ShapeError);
}

}  // namespace
}  // namespace qlora
