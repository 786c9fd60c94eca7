#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include <gtest/gtest.h>

#include <qlora/model/random_weights.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/quant/dequantize.hpp>

namespace qlora {
namespace {

/// Mean and deviation of all elements.
std::pair<double, double> moments(Matrix<float const> values) {
  auto sum = 0., squares = 0.;
  for (auto const value : std::span{values.data(), static_cast<std::size_t>(values.size())}) {
    sum += value;
    squares += value * value;
  }
  auto const n = static_cast<double>(values.size());
  return {sum / n, std::sqrt(squares / n - sum * sum / n / n)};
}

TEST(RandomWeights, AreAsTransformersInitialisesThem) {
  auto const source = RandomWeights{quant::Any::parse("none"), 0.03, 7};
  constexpr auto rows = Index{300}, columns = Index{100};
  auto const n = std::sqrt(static_cast<double>(rows * columns));
  auto values = MatrixTensor<float>{{rows, columns}};
  dequantize(source.weight({2, SiteKind::key}, rows, columns), values.view());
  auto const embedding = source.tensor("esm.embeddings.word_embeddings.weight", rows, columns);
  for (auto const& [mean, deviation] : {moments(values.view()), moments(embedding.view())}) {
    EXPECT_NEAR(mean, 0., 5 * .03 / n);
    EXPECT_NEAR(deviation, .03, 5 * .03 / n);
  }
  EXPECT_NE(values.data()[0], embedding.data()[0]);
  auto other = MatrixTensor<float>{{rows, columns}};
  dequantize(source.weight({2, SiteKind::value}, rows, columns), other.view());
  EXPECT_NE(values.data()[0], other.data()[0]);

  for (auto const& [name, expected] :
       {std::pair{"esm.encoder.layer.0.attention.LayerNorm.weight", 1.f},
        std::pair{"esm.encoder.emb_layer_norm_after.weight", 1.f},
        std::pair{"esm.encoder.layer.0.LayerNorm.bias", 0.f},
        std::pair{"esm.encoder.layer.0.output.dense.bias", 0.f}}) {
    auto const tensor = source.tensor(name, 1, 9);
    for (auto i = 0; i < 9; ++i) EXPECT_EQ(tensor.data()[i], expected) << name;
  }
}

}  // namespace
}  // namespace qlora
