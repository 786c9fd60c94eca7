/// What is said of a protein's residues, and what writes it.
#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qlora::inline v1::predict {

struct Prediction {
  std::string_view id, sequence;
  std::vector<float> logits;       // (residues, 2)
  std::vector<float> probability;  // (residues), the softmax's of a site
  std::vector<float> p_site;       // (residues), calibrated; empty where nothing was calibrated
  std::vector<float> spread;       // (residues), of an ensemble's probabilities; else empty
  std::vector<bool> is_site;       // (residues)

  std::size_t size() const { return probability.size(); }
  /// The probability to go by: calibrated where it is.
  std::vector<float> const& best() const { return p_site.empty() ? probability : p_site; }
};

/// Which optional columns are wanted.
struct Columns {
  bool logits = false;
  bool p_site = false;
  bool spread = false;
};

/// A format is made from `Columns`, says what stands before the first protein, and appends proteins
/// one after the other.
template <class F>
concept Format = std::constructible_from<F, Columns> &&
    requires(F& format, std::string& text, Prediction const& prediction) {
  { F::name } -> std::convertible_to<std::string_view>;
  format.begin(text);
  format.add(text, prediction);
};

/// Neighbouring residues that are all sites; positions from 1, both ends within.
struct Segment {
  std::size_t first = 0, last = 0;
  float mean = 0, highest = 0;  ///< of the probability to go by

  std::size_t size() const { return last - first + 1; }
};

inline std::vector<Segment> segments(Prediction const& prediction) {
  auto found = std::vector<Segment>{};
  auto const& probability = prediction.best();
  for (std::size_t i = 0; i < prediction.size(); ++i) {
    if (!prediction.is_site[i]) continue;
    if (found.empty() || found.back().last != i) found.push_back({.first = i + 1, .last = i});
    auto& segment = found.back();
    segment.last = i + 1;
    segment.mean += probability[i];
    segment.highest = std::max(segment.highest, probability[i]);
  }
  for (auto& segment : found) segment.mean /= static_cast<float>(segment.size());
  return found;
}

/// The shortest digits that read back as the same number.
template <class Number>
void append(std::string& text, Number number) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

}  // namespace qlora::inline v1::predict
