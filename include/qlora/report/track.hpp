/// A protein, residue by residue: what is known of it, and what each arm says.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/data/protein.hpp>
#include <qlora/report/chart.hpp>

namespace qlora::inline v1::report {

/// Rows of cells, four units wide, the darker the more probable; the pointer over a residue shows
/// its numbers.
class Track {
 public:
  explicit Track(Protein const& protein) : protein_{protein} {}

  /// Probabilities (residues) of a series.
  void add(std::size_t series, std::string name, std::vector<double> probabilities) {
    rows_.push_back({series, std::move(name), std::move(probabilities)});
  }

  std::string svg() const {
    auto const residues = protein_.sequence.size();
    auto const height = row_height * (static_cast<double>(rows_.size()) + 1) + 16;
    auto const width = names_width + cell * static_cast<double>(residues);
    auto text = "<svg class=\"track\" style=\"width:" + digits(width) + "px\" viewBox=\"0 0 " +
                digits(width) + " " + digits(height) + "\" role=\"img\" aria-label=\"" +
                escaped_html(protein_.id) + ": sites, and the probability of each arm\">";
    auto const name = [&](std::string_view of, double row) {
      text += "<text x=\"0\" y=\"" + digits(row * row_height + 11) + "\">" + escaped_html(of) +
              "</text>";
    };
    name("sites", 0);
    for (std::size_t i = 0; i < residues; ++i) {
      if (protein_.labels[i] == label_positive) box(text, i, 0, "known", 1);
      if (!is_known(protein_.labels[i])) box(text, i, 0, "unknown", 1);
    }
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      auto const row = static_cast<double>(r + 1);
      name(rows_[r].name, row);
      auto const looks = "dot " + series_class(rows_[r].series);
      for (std::size_t i = 0; i < residues; ++i) {
        if (auto const p = rows_[r].probabilities[i]; p >= .02) box(text, i, row, looks, p);
      }
    }
    for (std::size_t i = 49; i < residues; i += 50) {
      text += "<text class=\"tick\" text-anchor=\"middle\" x=\"" + digits(x_of(i) + cell / 2) +
              "\" y=\"" + digits(height - 3) + "\">" + std::to_string(i + 1) + "</text>";
    }
    for (std::size_t i = 0; i < residues; ++i) {
      text += "<rect class=\"hover\" x=\"" + digits(x_of(i)) + "\" y=\"0\" width=\"" +
              digits(cell) + "\" height=\"" + digits(height - 16) + "\"><title>" +
              escaped_html(says(i)) + "</title></rect>";
    }
    return text + "</svg>";
  }

 private:
  static constexpr auto cell = 4., row_height = 16., names_width = 150.;

  struct Row {
    std::size_t series;
    std::string name;
    std::vector<double> probabilities;
  };

  static std::string digits(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
  }
  static double x_of(std::size_t residue) {
    return names_width + cell * static_cast<double>(residue);
  }
  static void box(std::string& text, std::size_t residue, double row, std::string_view looks,
                  double opacity) {
    text += "<rect class=\"" + std::string{looks} + "\" x=\"" + digits(x_of(residue)) + "\" y=\"" +
            digits(row * row_height + 1) + "\" width=\"" + digits(cell) + "\" height=\"13\"";
    if (opacity < 1) text += " opacity=\"" + digits(std::round(opacity * 100) / 100) + "\"";
    text += "/>";
  }
  /// "K 45: a site; qkv 0.81, all 0.90".
  std::string says(std::size_t residue) const {
    auto text = std::string{protein_.sequence[residue]} + " " + std::to_string(residue + 1) +
                (protein_.labels[residue] == label_positive ? ": a site;"
                 : is_known(protein_.labels[residue])       ? ": no site;"
                                                            : ": not known;");
    for (auto const& row : rows_) {
      char number[32];
      std::snprintf(number, sizeof number, " %.2f", row.probabilities[residue]);
      text += (&row == rows_.data() ? " " : ", ") + row.name + number;
    }
    return text;
  }

  Protein const& protein_;
  std::vector<Row> rows_;
};

}  // namespace qlora::inline v1::report
