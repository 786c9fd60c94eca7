/// Weights of the two classes in the loss, from the training split alone.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>

#include <qlora/core/error.hpp>
#include <qlora/core/option.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

enum class ClassWeighting {
  none,
  given,     ///< FitOptions::class_weights
  balanced,  ///< n / (2 n_c), scikit-learn's "balanced"
  sqrt       ///< the square root of that
};

/// Throws InputError when `proteins` lack a class that the weighting divides by, for given weights
/// that are not positive, and as `checked`.
inline std::array<double, 2> class_weights(ClassWeighting weighting,
                                           std::span<Protein const> proteins,
                                           std::array<double, 2> const& given = {1., 1.}) {
  if (weighting == ClassWeighting::none) return {1., 1.};
  if (weighting == ClassWeighting::given) {
    for (auto const weight : given) {
      expect_option(std::isfinite(weight) && weight > 0., "class_weights",
                    "two finite numbers above 0", weight);
    }
    return given;
  }
  auto counts = std::array<std::int64_t, 2>{};
  for (auto const& protein : checked(proteins)) {
    for (auto const label : protein.labels) {
      if (is_known(label)) ++counts[class_of(label)];
    }
  }
  auto weights = std::array<double, 2>{};
  for (auto c = std::size_t{0}; c < 2; ++c) {
    if (counts[c] == 0) {
      throw InputError{"class weights: expected residues of both classes, found none labelled " +
                       std::to_string(c)};
    }
    auto const balanced =
        static_cast<double>(counts[0] + counts[1]) / (2. * static_cast<double>(counts[c]));
    weights[c] = weighting == ClassWeighting::balanced ? balanced : std::sqrt(balanced);
  }
  return weights;
}

}  // namespace qlora::inline v1
