/// The CUDA backend against the host. Without a device, that it says so.
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/backend/cuda.cuh>
#include <qlora/quant/any.hpp>
#include <qlora/quant/dequantize.hpp>

namespace qlora {
namespace {

static_assert(BackendTypes<backend::Cuda<float>> && BackendTypes<backend::Cuda<bf16>> &&
              BackendTypes<backend::Cuda<double>>);

bool has_device() {
  return cuda::device_status() == cudaSuccess;
}

template <class T>
MatrixTensor<T> example(Index rows, Index columns, float frequency) {
  auto x = MatrixTensor<T>{{rows, columns}};
  for (auto i = Index{0}; i < x.size(); ++i) {
    x.data()[i] = convert<T>(std::sin(static_cast<float>(i) * frequency));
  }
  return x;
}

TEST(Cuda, SaysWhenThereIsNoDevice) {
  if (has_device()) GTEST_SKIP() << "there is a device";
  try {
    auto const backend = backend::Cuda<float>{};
    FAIL() << "expected an error";
  } catch (SystemError const& error) {
    EXPECT_TRUE(std::string{error.what()}.starts_with("expected a CUDA device, found none: "))
        << error.what();
  }
}

template <class T>
class OnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_device()) GTEST_SKIP() << "needs a device";
  }
};
using ComputeTypes = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(OnDevice, ComputeTypes);

TYPED_TEST(OnDevice, DequantizeGivesTheBitsOfTheHost) {
  using T = TypeParam;
  auto backend = backend::Cuda<T>{};
  for (auto const* const name : {"none", "nf4", "fp4", "int8"}) {
    for (auto const columns : {Index{1}, Index{77}, Index{320}}) {
      auto const host = quantize(quant::Any::parse(name), example<float>(40, columns, 1.7f));
      auto expected = MatrixTensor<T>{{40, columns}};
      dequantize(host, expected.view());
      auto const device = copied_to<Space::device>(host);
      auto out = MatrixTensor<T, Space::device>{{40, columns}};
      backend.dequantize(device, out.view());
      auto const found = copied_to<Space::host>(out.view());
      EXPECT_EQ(std::memcmp(found.data(), expected.data(),
                            static_cast<std::size_t>(found.size()) * sizeof(T)),
                0)
          << name << " " << columns;
    }
  }
}

/// The largest error of linear relative to the sum of magnitudes; U is the output's type.
template <class T, class U, class B>
double linear_error(B& backend, Index tokens, Index in, Index out, bool with_bias, Write write) {
  using A = Accumulate<T>;
  auto const x = example<T>(tokens, in, 1.3f);
  auto const w = example<T>(out, in, .7f);
  auto const y = example<U>(tokens, out, .3f);
  auto bias = VectorTensor<A>{{with_bias ? out : 0}};
  for (auto i = Index{0}; i < bias.size(); ++i) {
    bias.data()[i] = static_cast<A>(std::cos(static_cast<double>(i)));
  }
  auto const device_y = copied_to<Space::device>(y.view());
  backend.template linear<U>(copied_to<Space::device>(x.view()), copied_to<Space::device>(w.view()),
                             copied_to<Space::device>(bias.view()), device_y, write);
  auto const found = copied_to<Space::host>(device_y.view());

  auto worst = 0.;
  for (auto i = Index{0}; i < tokens; ++i) {
    for (auto o = Index{0}; o < out; ++o) {
      auto sum = with_bias ? double{bias.data()[o]} : 0.;
      if (write == Write::accumulate) sum += convert<double>(y.view()(i, o));
      auto magnitude = std::fabs(sum) + 1;
      for (auto k = Index{0}; k < in; ++k) {
        auto const term = convert<double>(x.view()(i, k)) * convert<double>(w.view()(o, k));
        sum += term;
        magnitude += std::fabs(term);
      }
      auto const error = std::fabs(convert<double>(found.view()(i, o)) - sum);
      worst = std::max(worst, error / magnitude);
    }
  }
  return worst;
}

template <class T, class B>
void expect_products(B&& backend) {
  using A = Accumulate<T>;
  auto const tolerance = [](auto like) {
    using Like = decltype(like);
    return std::is_same_v<Like, double> ? 1e-14 : std::is_same_v<Like, bf16> ? 8e-3 : 1e-6;
  };
  for (auto const with_bias : {false, true}) {
    for (auto const write : {Write::assign, Write::accumulate}) {
      for (auto const tokens : {Index{1}, Index{37}, Index{256}}) {
        EXPECT_LT((linear_error<T, T>(backend, tokens, 320, 480, with_bias, write)),
                  tolerance(T{}));
        EXPECT_LT((linear_error<T, A>(backend, tokens, 40, 104, with_bias, write)), tolerance(A{}));
      }
    }
  }
}

TYPED_TEST(OnDevice, LinearMultiplies) {
  expect_products<TypeParam>(backend::Cuda<TypeParam>{});
}

TYPED_TEST(OnDevice, LinearMultipliesByTimedAlgorithms) {
  expect_products<TypeParam>(cuda::Backend<TypeParam, cuda::TimedCublasLt>{});
}

TYPED_TEST(OnDevice, LinearChecksShapes) {
  using T = TypeParam;
  auto backend = backend::Cuda<T>{};
  auto const x = MatrixTensor<T, Space::device>{{8, 16}};
  auto const w = MatrixTensor<T, Space::device>{{24, 16}};
  auto const y = MatrixTensor<T, Space::device>{{8, 25}};
  EXPECT_THROW(backend.template linear<T>(x, w, {}, y, Write::assign), ShapeError);
}

}  // namespace
}  // namespace qlora
