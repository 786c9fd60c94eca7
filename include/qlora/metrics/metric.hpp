/// What a metric is: a name, an accumulator that residues are streamed into, and a formula on it.
///
///     struct Youden {
///       static constexpr std::string_view name = "youden";
///       using Accumulator = qlora::metrics::Confusion;
///       static double value(Accumulator const& c) { return c.sensitivity() + c.specificity() - 1;
///       }
///     };
///
/// Metrics that name the same accumulator share one object, so each residue is counted once.
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <qlora/core/error.hpp>

namespace qlora::inline v1::metrics {

/// One residue's prediction, as accumulators see it: logits finite and the label known.
struct Prediction {
  float logit0, logit1;
  int label;  ///< 1 site, 0 not a site; negative: unknown, never reaches an accumulator
  std::uint32_t protein = 0;  ///< any number that identifies the protein

  bool positive() const { return label == 1; }
  /// The argmax; a tie is class 0.
  bool predicted() const { return logit1 > logit0; }
  /// The score that ranks residues.
  float margin() const { return logit1 - logit0; }
};

/// Whether a prediction is for accumulators: not if its label is unknown (negative). Throws
/// InputError for a label above 1 and DivergedError for a logit that is not finite.
inline bool is_labelled(Prediction const& p) {
  auto const message = [&](std::string const& expected, std::string const& found) {
    return "metrics: protein " + std::to_string(p.protein) + ": expected " + expected + ", found " +
           found;
  };
  if (p.label < 0) return false;
  if (p.label > 1) throw InputError{message("label 0, 1 or negative", std::to_string(p.label))};
  if (!std::isfinite(p.logit0) || !std::isfinite(p.logit1)) {
    throw DivergedError{
        message("finite logits", std::to_string(p.logit0) + " and " + std::to_string(p.logit1))};
  }
  return true;
}

/// Calls `visit(Prediction)` for each residue of one protein: logits (residues, 2) and a range of
/// as many labels. Throws ShapeError if their sizes do not fit together.
template <class Labels, class Visit>
void for_each_residue(std::uint32_t protein, std::span<float const> logits, Labels const& labels,
                      Visit&& visit) {
  auto const residues = std::size(labels);
  if (logits.size() != 2 * residues) {
    throw ShapeError{"metrics: protein " + std::to_string(protein) + ": expected " +
                     std::to_string(2 * residues) + " logits for " + std::to_string(residues) +
                     " labels, found " + std::to_string(logits.size())};
  }
  auto label = std::begin(labels);
  for (std::size_t i = 0; i < residues; ++i, ++label) {
    visit(Prediction{
        .logit0 = logits[2 * i], .logit1 = logits[2 * i + 1], .label = *label, .protein = protein});
  }
}

/// What accumulators may want to know at run time.
struct Options {
  std::array<double, 2> class_weights = {1, 1};  ///< of the weighted loss, as in training
  std::string names = {};                        ///< what to compute, comma-separated; empty is all
};

/// Collects predictions, in any order and split over any number of objects. It is made from
/// `Options` if it can be, else by default, and may have `void finish()`, called before values are
/// read.
template <typename A>
concept Accumulator = std::copyable<A> &&
    (std::constructible_from<A, Options const&> ||
     std::default_initializable<A>)&&requires(A accumulator, A const& other,
                                              Prediction const& prediction) {
  accumulator.add(prediction);
  accumulator.merge(other);
};

/// One without predictions.
template <Accumulator A>
A empty_accumulator(Options const& options) {
  if constexpr (std::constructible_from<A, Options const&>) {
    return A{options};
  } else {
    return A{};
  }
}

template <typename M>
concept Metric = requires {
  typename M::Accumulator;
}
&&requires(typename M::Accumulator const& accumulator) {
  requires std::bool_constant<!std::string_view{M::name}.empty()>::value;
  { M::value(accumulator) } -> std::convertible_to<double>;
};

/// Whether a type can stand in a metric set; a compile-time error says what it lacks.
template <typename M>
consteval bool check_metric() {
  static_assert(
      Metric<M>,
      "a metric needs static constexpr std::string_view name, using Accumulator = ..., and "
      "static double value(Accumulator const&); see metrics/metric.hpp");
  if constexpr (Metric<M>) {
    static_assert(
        Accumulator<typename M::Accumulator>,
        "a metric's Accumulator needs add(Prediction const&) and merge(Accumulator const&), and a "
        "constructor without arguments or from Options; see metrics/metric.hpp");
  }
  return true;
}

}  // namespace qlora::inline v1::metrics
