/// Figures as inline SVG: lines, bands, dots and whiskers over two axes.
///
///     auto chart = report::Chart{"Training loss", {.label = "step", .high = 500}, {.label =
///     "loss"}}; chart.line(0, {{1, 0.69}, {2, 0.61}}); page.figure(chart, ...);
///
/// Colours and dashes are those of a page's style (page.hpp): a series is a number, and looks the
/// same in every figure.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qlora::inline v1::report {

/// Text that stands for itself in HTML and SVG, in content and in quoted attributes.
inline std::string escaped_html(std::string_view text) {
  auto result = std::string{};
  for (auto const c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

/// A series of what stands beside the others: a null, what all are compared with.
inline constexpr std::size_t neutral_series = ~std::size_t{0};

/// How a series looks; after eight, they look the same again.
inline std::string series_class(std::size_t series) {
  return "s" + std::to_string(series == neutral_series ? 8 : series % 8);
}

struct Point {
  double x = 0, y = 0;
};

/// Where number i of the dots of a row of names lies: spread over it, so that equal ones do not
/// hide each other.
constexpr double in_row(std::size_t row, std::size_t i) {
  return static_cast<double>(row) + .25 + .5 * static_cast<double>(i * 7 % 11) / 10.;
}

/// What an axis shows: a range of numbers, or names, of which number i lies from i to i + 1.
struct Axis {
  std::string label = {};
  double low = 0, high = 1;
  std::vector<std::string> names = {};
  bool whole = false;  ///< only whole numbers mean something
};

/// From the least to the largest of the values, with a little room, but not below `low_limit`.
inline Axis axis_around(std::string label, std::vector<double> values,
                        double low_limit = -std::numeric_limits<double>::infinity()) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return {.label = std::move(label)};
  auto const [low, high] = std::ranges::minmax(values);
  auto const room = std::max(.08 * (high - low), 1e-3 * std::abs(high) + 1e-9);
  return {.label = std::move(label), .low = std::max(low - room, low_limit), .high = high + room};
}

/// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
inline std::vector<double> ticks(double low, double high, int count = 5) {
  auto values = std::vector<double>{};
  if (!(high > low)) return values;
  auto const rough = (high - low) / count;
  auto const power = std::pow(10., std::floor(std::log10(rough)));
  auto const step = power * (rough / power > 5   ? 10
                             : rough / power > 2 ? 5
                             : rough / power > 1 ? 2
                                                 : 1);
  for (auto i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
    values.push_back(i == 0 ? 0 : i * step);
  }
  return values;
}

class Chart {
 public:
  static constexpr auto width = 440., height = 290.;

  /// The title is the figure's text alternative, too.
  Chart(std::string title, Axis x, Axis y)
      : title_{std::move(title)}, x_{range(std::move(x))}, y_{range(std::move(y))} {
    auto longest = std::size_t{4};  // of a number
    for (auto const& name : y_.names) longest = std::max(longest, name.size());
    left_ = 34. + 6.6 * static_cast<double>(std::min(longest, std::size_t{22}));
  }

  std::string const& title() const { return title_; }

  /// Points in order; those with a coordinate that is not a number break the line. A single one is
  /// a dot.
  void line(std::size_t series, std::vector<Point> const& points, bool faint = false) {
    if (points.size() == 1) return dot(series, points.front(), "", 3);
    auto path = std::string{};
    auto is_broken = true;
    for (auto const& point : points) {
      if (std::isnan(point.x) || std::isnan(point.y)) {
        is_broken = true;
        continue;
      }
      path += (is_broken ? "M" : "L") + pair(point);
      is_broken = false;
    }
    if (path.empty()) return;
    has_lines_ = true;
    add("<path class=\"line " + series_class(series) + (faint ? " faint" : "") + "\" d=\"" + path +
        "\"/>");
  }
  /// The area between two lines over the same x; none where something is not a number.
  void band(std::size_t series, std::vector<Point> const& low, std::vector<Point> const& high) {
    auto path = std::string{};
    for (auto const& points : {low, high}) {
      for (auto const& point : points) {
        if (std::isnan(point.x) || std::isnan(point.y)) return;
      }
    }
    for (auto const& point : low) path += (path.empty() ? "M" : "L") + pair(point);
    for (auto i = high.size(); i-- > 0;) path += "L" + pair(high[i]);
    if (!path.empty()) {
      add("<path class=\"band " + series_class(series) + "\" d=\"" + path + "Z\"/>");
    }
  }
  /// What it says shows when the pointer is over it.
  void dot(std::size_t series, Point point, std::string_view says, double radius = 4) {
    if (std::isnan(point.x) || std::isnan(point.y)) return;
    add("<circle class=\"dot " + series_class(series) + "\" cx=\"" + digits(at_x(point.x)) +
        "\" cy=\"" + digits(at_y(point.y)) + "\" r=\"" + digits(radius) + "\"><title>" +
        escaped_html(says) + "</title></circle>");
  }
  /// A line without ends, from one point to another, of a series.
  void whisker(std::size_t series, Point from, Point to) {
    if (std::isnan(from.x + from.y + to.x + to.y)) return;
    add("<path class=\"whisker " + series_class(series) + "\" d=\"M" + pair(from) + "L" + pair(to) +
        "\"/>");
  }
  /// What the figure is to be compared with.
  void reference(Point from, Point to) {
    add("<path class=\"reference\" d=\"M" + pair(from) + "L" + pair(to) + "\"/>");
  }

  bool empty() const { return marks_.empty(); }

  /// How a series looks here, for a key: as a line, or as a dot where there are no lines.
  std::string sample(std::size_t series) const {
    auto const looks = series_class(series);
    return "<svg viewBox=\"0 0 24 10\" aria-hidden=\"true\">" +
           (has_lines_ ? "<path class=\"line " + looks + "\" d=\"M1 5H23\"/>"
                       : "<circle class=\"dot " + looks + "\" cx=\"12\" cy=\"5\" r=\"4\"/>") +
           "</svg>";
  }

  std::string svg() const {
    auto text = "<svg viewBox=\"0 0 " + digits(width) + " " + digits(height) +
                "\" role=\"img\" aria-label=\"" + escaped_html(title_) + "\">";
    for (auto const& [value, name] : ticks_of(x_)) {
      auto const x = digits(at_x(value));
      if (x_.names.empty()) {
        text +=
            "<path class=\"grid\" d=\"M" + x + " " + digits(top) + "V" + digits(bottom) + "\"/>";
      }
      text += "<text class=\"tick\" text-anchor=\"middle\" x=\"" + x + "\" y=\"" +
              digits(bottom + 16) + "\">" + escaped_html(name) + "</text>";
    }
    for (auto const& [value, name] : ticks_of(y_)) {
      auto const y = digits(at_y(value));
      if (y_.names.empty()) {
        text +=
            "<path class=\"grid\" d=\"M" + digits(left_) + " " + y + "H" + digits(right) + "\"/>";
      }
      text += "<text class=\"tick\" text-anchor=\"end\" x=\"" + digits(left_ - 6) + "\" y=\"" +
              digits(at_y(value) + 4) + "\">" + escaped_html(name) + "</text>";
    }
    text += "<path class=\"axis\" d=\"M" + digits(left_) + " " + digits(top) + "V" +
            digits(bottom) + "H" + digits(right) + "\"/>";
    text += "<text class=\"label\" text-anchor=\"middle\" x=\"" + digits((left_ + right) / 2) +
            "\" y=\"" + digits(height - 6) + "\">" + escaped_html(x_.label) + "</text>";
    text += "<text class=\"label\" text-anchor=\"middle\" transform=\"translate(12 " +
            digits((top + bottom) / 2) + ") rotate(-90)\">" + escaped_html(y_.label) + "</text>";
    return text + marks_ + "</svg>";
  }

 private:
  static constexpr auto top = 10., bottom = height - 44., right = width - 12.;

  static Axis range(Axis axis) {
    if (!axis.names.empty()) {
      axis.low = 0;
      axis.high = static_cast<double>(axis.names.size());
    } else if (!(axis.high > axis.low)) {
      axis.high = axis.low + 1;
    }
    return axis;
  }

  static std::vector<std::pair<double, std::string>> ticks_of(Axis const& axis) {
    auto result = std::vector<std::pair<double, std::string>>{};
    for (std::size_t i = 0; i < axis.names.size(); ++i) {
      result.emplace_back(static_cast<double>(i) + .5, axis.names[i]);
    }
    if (!result.empty()) return result;
    for (auto const value : ticks(axis.low, axis.high)) {
      if (axis.whole && value != std::round(value)) continue;
      char text[32];
      if (std::abs(value) >= 1e4) {
        std::snprintf(text, sizeof text, "%gk", value / 1e3);
      } else {
        std::snprintf(text, sizeof text, "%g", value);
      }
      result.emplace_back(value, text);
    }
    return result;
  }

  static std::string digits(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
  }
  double at_x(double x) const {
    return left_ + (std::clamp(x, x_.low, x_.high) - x_.low) / (x_.high - x_.low) * (right - left_);
  }
  /// Numbers grow upwards, names downwards.
  double at_y(double y) const {
    auto const share = (std::clamp(y, y_.low, y_.high) - y_.low) / (y_.high - y_.low);
    return y_.names.empty() ? bottom - share * (bottom - top) : top + share * (bottom - top);
  }
  std::string pair(Point point) const {
    return digits(at_x(point.x)) + " " + digits(at_y(point.y));
  }
  void add(std::string const& mark) { marks_ += mark; }

  std::string title_, marks_;
  Axis x_, y_;
  double left_ = 0;
  bool has_lines_ = false;
};

}  // namespace qlora::inline v1::report
