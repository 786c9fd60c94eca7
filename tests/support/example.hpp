/// A matrix to quantize.
#pragma once

#include <cmath>

#include <qlora/core/tensor.hpp>

namespace qlora::testing {

/// (rows, columns) with magnitudes that differ from block to block.
inline MatrixTensor<float> example(Index rows, Index columns) {
  auto x = MatrixTensor<float>{{rows, columns}};
  for (auto i = Index{0}; i < x.size(); ++i) {
    auto const angle = static_cast<float>(i);
    x.data()[i] = std::sin(angle * 1.7f) * (1 + std::cos(angle * .01f));
  }
  return x;
}

}  // namespace qlora::testing
