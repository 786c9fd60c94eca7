/// A quantized matrix that expands to 16 bits.
#pragma once

#include <algorithm>
#include <utility>

#include <qlora/quant/quantized.hpp>

namespace qlora::testing {

/// A copy of `matrix` whose elements are rounded when they are expanded.
template <class S>
Quantized<S> rounded_to(quant::Rounding rounding, Quantized<S> const& matrix) {
  auto const copy = []<class T>(Vector<T const> from) {
    auto to = VectorTensor<T>{{from.size()}};
    std::ranges::copy(from, to.data());
    return to;
  };
  return {matrix.scheme(), matrix.rows(), matrix.columns(),
          quant::Parts<Space::host>{.codes = copy(matrix.codes()),
                                    .scales = copy(matrix.scales()),
                                    .scale_codes = copy(matrix.scale_codes()),
                                    .nested_scales = copy(matrix.nested_scales()),
                                    .nested_map = copy(matrix.nested_map()),
                                    .offset = matrix.offset(),
                                    .rounding = rounding}};
}

}  // namespace qlora::testing
