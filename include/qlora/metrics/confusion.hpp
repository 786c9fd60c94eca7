/// Metrics of the argmax, all from the four counts of one confusion matrix. Where a formula divides
/// by zero the value is scikit-learn's: 0, and for balanced accuracy the mean over the classes
/// present.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

#include <qlora/metrics/metric.hpp>

namespace qlora::inline v1::metrics {

/// True and false positives and negatives.
struct Confusion {
  std::uint64_t tp = 0, fp = 0, tn = 0, fn = 0;

  void add(Prediction const& p) {
    ++(p.predicted() ? (p.positive() ? tp : fp) : (p.positive() ? fn : tn));
  }
  void merge(Confusion const& other) {
    tp += other.tp;
    fp += other.fp;
    tn += other.tn;
    fn += other.fn;
  }

  std::uint64_t positives() const { return tp + fn; }
  std::uint64_t negatives() const { return tn + fp; }
  std::uint64_t total() const { return positives() + negatives(); }
  double sensitivity() const { return ratio(tp, positives()); }
  double specificity() const { return ratio(tn, negatives()); }

  /// a / b, and 0 where b is 0.
  static double ratio(std::uint64_t a, std::uint64_t b) {
    return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
  }

  friend bool operator==(Confusion const&, Confusion const&) = default;
};

struct Accuracy {
  static constexpr std::string_view name = "accuracy";
  using Accumulator = Confusion;
  static double value(Confusion const& c) { return Confusion::ratio(c.tp + c.tn, c.total()); }
};

struct Precision {
  static constexpr std::string_view name = "precision";
  using Accumulator = Confusion;
  static double value(Confusion const& c) { return Confusion::ratio(c.tp, c.tp + c.fp); }
};

struct Recall {
  static constexpr std::string_view name = "recall";
  using Accumulator = Confusion;
  static double value(Confusion const& c) { return c.sensitivity(); }
};

struct Specificity {
  static constexpr std::string_view name = "specificity";
  using Accumulator = Confusion;
  static double value(Confusion const& c) { return c.specificity(); }
};

struct F1 {
  static constexpr std::string_view name = "f1";
  using Accumulator = Confusion;
  static double value(Confusion const& c) {
    return Confusion::ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn);
  }
};

/// Matthews correlation coefficient, 0 where a row or column of the matrix is empty.
struct Mcc {
  static constexpr std::string_view name = "mcc";
  using Accumulator = Confusion;
  static double value(Confusion const& c) {
    auto const tp = static_cast<double>(c.tp), fp = static_cast<double>(c.fp);
    auto const tn = static_cast<double>(c.tn), fn = static_cast<double>(c.fn);
    auto const marginals = std::sqrt((tp + fp) * (tn + fn)) * std::sqrt((tp + fn) * (tn + fp));
    if (marginals == 0) return 0;
    // tp * tn - fp * fn to the last bit or two although it cancels (Kahan's difference of
    // products).
    auto const subtrahend = fp * fn;
    auto const error = std::fma(-fp, fn, subtrahend);
    return (std::fma(tp, tn, -subtrahend) + error) / marginals;
  }
};

struct BalancedAccuracy {
  static constexpr std::string_view name = "balanced_accuracy";
  using Accumulator = Confusion;
  static double value(Confusion const& c) {
    if (c.positives() == 0) return c.specificity();
    if (c.negatives() == 0) return c.sensitivity();
    return (c.sensitivity() + c.specificity()) / 2;
  }
};

/// Balanced accuracy under the name it was published by: the model card's "AUC" is the ROC-AUC of
/// argmax predictions, a curve with one corner. RocAuc (ranking.hpp) is the area under the real
/// one.
struct AucCard {
  static constexpr std::string_view name = "auc_card";
  using Accumulator = Confusion;
  static double value(Confusion const& c) { return BalancedAccuracy::value(c); }
};

/// The fraction of labelled residues that are sites: what average precision is by chance, of many.
struct Prevalence {
  static constexpr std::string_view name = "prevalence";
  using Accumulator = Confusion;
  static double value(Confusion const& c) { return Confusion::ratio(c.positives(), c.total()); }
};

/// The mean of average precision over all orders of the residues: ((N - H)(P - 1) / (N - 1) + H) /
/// N of P sites among N residues, H the N-th harmonic number. Of few residues it is well above the
/// prevalence. Zero without sites, as average precision.
struct RandomOrder {
  static constexpr std::string_view name = "random_order";
  using Accumulator = Confusion;
  static double value(Confusion const& c) {
    if (c.positives() == 0) return 0;
    if (c.negatives() == 0) return 1;
    auto const n = static_cast<double>(c.total());
    auto const h = harmonic(c.total());
    return ((n - h) * static_cast<double>(c.positives() - 1) / (n - 1) + h) / n;
  }

 private:
  static double harmonic(std::uint64_t n) {
    constexpr auto enough = std::uint64_t{64};  // from here on Euler's expansion is exact
    if (n > enough) {
      auto const x = static_cast<double>(n);
      auto const square = x * x;
      return std::log(x) + std::numbers::egamma + 1 / (2 * x) - 1 / (12 * square) +
             1 / (120 * square * square);
    }
    auto sum = 0.;
    for (auto i = n; i > 0; --i) sum += 1 / static_cast<double>(i);
    return sum;
  }
};

}  // namespace qlora::inline v1::metrics
