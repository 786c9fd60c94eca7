/// Cross entropy over a data set, with and without class weights.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>

#include <qlora/metrics/metric.hpp>

namespace qlora::inline v1::metrics {

/// A sum that hardly depends on the order of its terms (Neumaier 1974).
class CompensatedSum {
 public:
  CompensatedSum& operator+=(double term) {
    auto const sum = sum_ + term;
    correction_ += std::abs(sum_) >= std::abs(term) ? (sum_ - sum) + term : (term - sum) + sum_;
    sum_ = sum;
    return *this;
  }
  CompensatedSum& operator+=(CompensatedSum const& other) {
    *this += other.sum_;
    correction_ += other.correction_;
    return *this;
  }
  double value() const { return sum_ + correction_; }

 private:
  double sum_ = 0, correction_ = 0;
};

/// Sum and number of each class's negative log-likelihoods: class weights enter at the end.
class CrossEntropy {
 public:
  explicit CrossEntropy(Options const& options = {}) : class_weights_{options.class_weights} {}

  void add(Prediction const& p) {
    auto& of = classes_[p.positive() ? 1 : 0];
    auto const odds = static_cast<double>(p.logit1) - static_cast<double>(p.logit0);
    auto const against =
        p.positive() ? -odds : odds;  // nll = log(1 + exp(against)), without overflow
    of.nll += std::max(against, 0.) + std::log1p(std::exp(-std::abs(against)));
    of.residues += 1;
  }

  void merge(CrossEntropy const& other) {
    for (std::size_t y = 0; y < classes_.size(); ++y) {
      classes_[y].nll += other.classes_[y].nll;
      classes_[y].residues += other.classes_[y].residues;
    }
  }

  /// sum(w_y * nll) / sum(w_y) in nats; not a number where every weight met is 0.
  double mean(std::array<double, 2> const& weights) const {
    auto const weighted =
        weights[0] * classes_[0].nll.value() + weights[1] * classes_[1].nll.value();
    return weighted / (weights[0] * classes_[0].residues + weights[1] * classes_[1].residues);
  }

  std::array<double, 2> const& class_weights() const { return class_weights_; }

 private:
  struct Class {
    CompensatedSum nll;
    double residues = 0;
  };
  std::array<Class, 2> classes_;
  std::array<double, 2> class_weights_;
};

/// With the class weights of training.
struct Loss {
  static constexpr std::string_view name = "loss";
  using Accumulator = CrossEntropy;
  static double value(CrossEntropy const& entropy) { return entropy.mean(entropy.class_weights()); }
};

struct LossUnweighted {
  static constexpr std::string_view name = "loss_unweighted";
  using Accumulator = CrossEntropy;
  static double value(CrossEntropy const& entropy) { return entropy.mean({1, 1}); }
};

}  // namespace qlora::inline v1::metrics
