/// Log-odds that are a line in the margin, and their unpenalised maximum-likelihood fit.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

#include <qlora/metrics/loss.hpp>
#include <qlora/metrics/ranking.hpp>

namespace qlora::inline v1::metrics {

/// log(p / (1 - p)) = slope * margin + intercept. By itself it is the softmax.
struct LogOdds {
  double slope = 1, intercept = 0;

  double operator()(double margin) const { return slope * margin + intercept; }
  /// Of a site, without overflow.
  double probability(double margin) const {
    auto const z = (*this)(margin);
    auto const odds = std::exp(-std::abs(z));
    return (z >= 0 ? 1 : odds) / (1 + odds);
  }
};

/// Negative log-likelihood of a label that is a site with probability `target`, log(1 + e^z) -
/// target * z, without overflow.
inline double logistic_loss(double z, double target) {
  return std::max(z, 0.) - target * z + std::log1p(std::exp(-std::abs(z)));
}

namespace detail {

enum class Intercept { fitted, none };

/// Logistic regression of labels on x = offset + margin by Newton's method. Needs a finished
/// ranking, which outlives it, with both classes.
class LogisticRegression {
 public:
  LogisticRegression(Ranking const& ranking, double offset, Intercept intercept)
      : ranking_{ranking}, offset_{offset}, intercept_{intercept} {
    // Centred and scaled: margins of 10^4 that differ by 1 would ruin the two equations.
    auto const n = static_cast<double>(ranking.positives() + ranking.negatives());
    auto sum = CompensatedSum{}, squares = CompensatedSum{};
    for_each([&](double x, std::size_t) { sum += x; });
    if (intercept == Intercept::fitted) centre_ = sum.value() / n;
    for_each([&](double x, std::size_t) { squares += (x - centre_) * (x - centre_); });
    scale_ = std::sqrt(squares.value() / n);
  }

  /// Whether there is no slope to fit: every x is the same, or 0 without an intercept.
  bool constant() const { return !(scale_ > 1e-12 * std::abs(centre_)); }

  /// Whether a cut has every site on it or to one side, and every other residue on it or to the
  /// other. Without an intercept the cut is at x = 0.
  bool separated() const {
    auto const parted = [&](std::span<float const> above, std::span<float const> below) {
      auto const cut = intercept_ == Intercept::none ? -offset_ : double{below.front()};
      return below.front() <= cut && above.back() >= cut;
    };
    return parted(ranking_.positive_scores(), ranking_.negative_scores()) ||
           parted(ranking_.negative_scores(), ranking_.positive_scores());
  }

  /// The line at the largest likelihood of `targets` {of others, of sites}, in the margin.
  LogOdds fit(std::array<double, 2> const& targets) const {
    auto line = LogOdds{0, 0};  // in (x - centre) / scale, as all that follows
    auto loss = this->loss(line, targets);
    for (int step = 0; step < 100; ++step) {
      auto const change = newton_step(line, targets);
      auto next = line;
      // A full step may overshoot where probabilities saturate. Near the optimum the loss is flat
      // to the last bits while steps still gain digits: a rise by rounding is none.
      for (auto halvings = 0; halvings < 30; ++halvings) {
        auto const fraction = std::ldexp(1., -halvings);
        next = {line.slope + fraction * change.slope, line.intercept + fraction * change.intercept};
        if (this->loss(next, targets) <= loss * (1 + 1e-12)) break;
      }
      auto const moved =
          std::abs(next.slope - line.slope) + std::abs(next.intercept - line.intercept);
      line = next;
      loss = this->loss(line, targets);
      if (moved < 1e-13 * (1 + std::abs(line.slope) + std::abs(line.intercept))) break;
    }
    auto const slope = line.slope / scale_;
    return {slope, line.intercept + slope * (offset_ - centre_)};
  }

 private:
  /// Calls use(x, label) for each residue.
  template <class Use>
  void for_each(Use use) const {
    for (auto const score : ranking_.positive_scores()) use(offset_ + double{score}, 1);
    for (auto const score : ranking_.negative_scores()) use(offset_ + double{score}, 0);
  }

  double loss(LogOdds const& line, std::array<double, 2> const& targets) const {
    auto sum = CompensatedSum{};
    for_each([&](double x, std::size_t label) {
      sum += logistic_loss(line((x - centre_) / scale_), targets[label]);
    });
    return sum.value();
  }

  LogOdds newton_step(LogOdds const& line, std::array<double, 2> const& targets) const {
    auto const complement = LogOdds{-line.slope, -line.intercept};
    CompensatedSum gu, g, huu, hu, h;  // gradient and Hessian by slope (u) and intercept
    for_each([&](double x, std::size_t label) {
      auto const u = (x - centre_) / scale_;
      auto const p = line.probability(u);
      auto const residual = targets[label] - p;
      auto const weight = p * complement.probability(u);  // 1 - p would vanish near 1
      gu += residual * u;
      g += residual;
      huu += weight * u * u;
      hu += weight * u;
      h += weight;
    });
    if (intercept_ == Intercept::none) return {gu.value() / huu.value(), 0};
    auto const determinant = huu.value() * h.value() - hu.value() * hu.value();
    return {(h.value() * gu.value() - hu.value() * g.value()) / determinant,
            (huu.value() * g.value() - hu.value() * gu.value()) / determinant};
  }

  Ranking const& ranking_;
  double offset_;
  Intercept intercept_;
  double centre_ = 0, scale_ = 1;
};

}  // namespace detail
}  // namespace qlora::inline v1::metrics
