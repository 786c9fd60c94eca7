/// Quantizing on the device against the host's function: equal to the byte. Included where there is
/// a `Device`; see support/verbs.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include <qlora/backend/cuda/quantize.cuh>
#include <qlora/quant/any.hpp>
#include <qlora/quant/quantize.hpp>

#include "support/errors.hpp"
#include "support/example.hpp"

namespace qlora {
namespace {

using testing::Thirds;

template <class T>
void expect_same(Vector<T const> expected, Vector<T const, Space::device> device,
                 char const* what) {
  auto const found = copied_to<Space::host>(device);
  ASSERT_EQ(found.size(), expected.size()) << what;
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found.data())) << what;
}

template <class S>
void expect_same_bytes(S const& scheme, Matrix<float const> weight) {
  SCOPED_TRACE(std::string{scheme.name} + " " + weight.shape());
  auto const expected = quantize(scheme, weight);
  auto const device = copied_to<Space::device>(weight);
  auto const found =
      cuda::quantize(scheme, Matrix<float const, Space::device>{device.view()}, cuda::Stream{});
  expect_same(expected.codes(), found.codes(), "codes");
  expect_same(expected.scales(), found.scales(), "scales");
  expect_same(expected.scale_codes(), found.scale_codes(), "scale codes");
  expect_same(expected.nested_scales(), found.nested_scales(), "nested scales");
  expect_same(expected.nested_map(), found.nested_map(), "nested map");
  EXPECT_EQ(expected.offset(), found.offset());
}

template <class S>
class QuantizeKernels : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Device::available()) GTEST_SKIP() << "needs a device";
  }
};
using QuantizeSchemes =
    ::testing::Types<Nf4<64>, Fp4<128>, Nf4<2>, Int8, Full<float>, Full<bf16>, Thirds>;
TYPED_TEST_SUITE(QuantizeKernels, QuantizeSchemes);

TYPED_TEST(QuantizeKernels, GiveTheBytesOfTheHost) {
  for (auto const& [rows, columns] : {std::pair<Index, Index>{1, 1},
                                      {1, 63},
                                      {1, 64},
                                      {5, 13},
                                      {3, 200},
                                      {100, 167}}) {  // several nested blocks, all ends ragged
    expect_same_bytes(TypeParam{}, testing::example(rows, columns));
  }
  auto tiny = testing::example(4, 64);
  std::fill_n(tiny.data(), 64, 0.f);
  tiny.data()[70] = 1e-42f;  // a subnormal
  tiny.data()[140] = std::numeric_limits<float>::min();
  expect_same_bytes(TypeParam{}, tiny);
}

TYPED_TEST(QuantizeKernels, RefuseWhatTheHostRefuses) {
  for (auto const bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    auto weight = testing::example(9, 100);
    weight.data()[555] = -bad;
    auto const device = moved_to<Space::device>(std::move(weight));
    auto const error = testing::message_of<InputError>([&] {
      cuda::quantize(TypeParam{}, Matrix<float const, Space::device>{device.view()},
                     cuda::Stream{});
    });
    auto const host = testing::message_of<InputError>([&] {
      auto const copy = copied_to<Space::host>(device.view());
      quantize(TypeParam{}, Matrix<float const>{copy.view()});
    });
    EXPECT_EQ(error, host);
  }
}

TEST(QuantizeKernelsAny, TakesSchemesAtRunTime) {
  if (!Device::available()) GTEST_SKIP() << "needs a device";
  for (auto const* const name : {"none", "nf4", "fp4", "int8"}) {
    expect_same_bytes(quant::Any::parse(name), testing::example(33, 77));
  }
}

}  // namespace
}  // namespace qlora
