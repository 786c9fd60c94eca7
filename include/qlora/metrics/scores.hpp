/// What an evaluation returns: named values in order, and what they were computed from.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/metrics/confusion.hpp>

namespace qlora::inline v1::metrics {

/// The error for a name that is none of those known: of `known`, by that projection.
template <typename Known, typename Name = std::identity>
InputError unknown_name(Known const& known, std::string_view found, Name name = {}) {
  auto list = std::string{};
  for (auto const& one : known) list.append(" ").append(std::invoke(name, one));
  return InputError("metrics: expected one of" + list + ", found \"" + std::string{found} + "\"");
}

struct Scores {
  std::vector<std::pair<std::string_view, double>> values;  ///< in the set's order
  Confusion confusion;         ///< of the labelled residues, at the argmax
  std::uint64_t proteins = 0;  ///< with at least one labelled residue

  /// Labelled residues.
  std::uint64_t residues() const { return confusion.total(); }

  /// Throws InputError for a name that was not computed.
  double operator[](std::string_view name) const {
    for (auto const& [candidate, value] : values) {
      if (candidate == name) return value;
    }
    throw unknown_name(values, name, &std::pair<std::string_view, double>::first);
  }

  template <Metric M>
  double get() const {
    return (*this)[M::name];
  }

  /// One "name value" a line.
  friend std::ostream& operator<<(std::ostream& out, Scores const& scores) {
    for (auto const& [name, value] : scores.values) out << name << ' ' << value << '\n';
    return out;
  }
};

/// For nlohmann::json and ordered_json: the values by name, `confusion`, `residues` and `proteins`.
/// A value that is not a number is written as null.
template <typename Json>
void to_json(Json& json, Scores const& scores) {
  json = Json::object();
  for (auto const& [name, value] : scores.values) json[std::string{name}] = value;
  auto const& [tp, fp, tn, fn] = scores.confusion;
  json["confusion"] = {{"tp", tp}, {"fp", fp}, {"tn", tn}, {"fn", fn}};
  json["residues"] = scores.residues();
  json["proteins"] = scores.proteins;
}

}  // namespace qlora::inline v1::metrics
