/// The frozen weights of a model that was never pre-trained: a floor under what pre-training gives.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <qlora/adapt/placement.hpp>
#include <qlora/core/random.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/quant/quantize.hpp>

namespace qlora::inline v1 {

/// A source of weights for `Esm2`, as transformers initialises it: matrices and the embedding
/// normal, biases 0, LayerNorms 1 and 0. Each matrix depends on the seed and its site alone.
template <Quantization Scheme>
class RandomWeights {
 public:
  /// `deviation`: initializer_range of `config.json`.
  RandomWeights(Scheme const& scheme, double deviation, std::uint64_t seed)
      : scheme_{scheme}, deviation_{static_cast<float>(deviation)}, seed_{seed} {}

  MatrixTensor<float> tensor(std::string const& name, Index rows, Index columns) const {
    auto const is_norm =
        name.find("LayerNorm") != name.npos || name.find("layer_norm") != name.npos;
    auto const is_bias = name.ends_with(".bias");
    if (!is_norm && !is_bias) return normal(embedding, rows, columns);
    auto values = MatrixTensor<float>{{rows, columns}};
    std::fill_n(values.data(), values.size(), is_bias ? 0.f : 1.f);
    return values;
  }

  Quantized<Scheme> weight(Site site, Index rows, Index columns) const {
    return quantize(scheme_, normal(site.id(), rows, columns));
  }

 private:
  static constexpr std::uint32_t embedding = 0x0fff'ffffu;  // no site has so large a number

  MatrixTensor<float> normal(std::uint32_t id, Index rows, Index columns) const {
    auto values = MatrixTensor<float>{{rows, columns}};
    fill_normal(std::span{values.data(), static_cast<std::size_t>(values.size())},
                {.seed = seed_, .step = 0, .sample = 0, .site = random_site::base + id},
                deviation_);
    return values;
  }

  Scheme scheme_;
  float deviation_;
  std::uint64_t seed_;
};

}  // namespace qlora::inline v1
