/// A report as one HTML file that needs no network: prose, tables and figures, light and dark, on
/// screens of any width and on paper.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/report/chart.hpp>
#include <qlora/report/table.hpp>

namespace qlora::inline v1::report {

/// The table in HTML, headers marked as such.
inline std::string html(Table const& table) {
  auto text = std::string{"<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>"};
  auto const& columns = table.columns();
  auto const align = [&](std::size_t c) {
    return columns[c].align == Align::left ? "" : " class=\"number\"";
  };
  for (std::size_t c = 0; c < columns.size(); ++c) {
    text += std::string{"<th scope=\"col\""} + align(c) + ">" + escaped_html(columns[c].header) +
            "</th>";
  }
  text += "</tr></thead><tbody>";
  for (auto const& row : table.rounded_cells()) {
    text += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c) {
      text += std::string{"<td"} + align(c) + ">" + escaped_html(row[c]) + "</td>";
    }
    text += "</tr>";
  }
  return text + "</tbody></table></div>";
}

class Page {
 public:
  explicit Page(std::string title) : title_{std::move(title)} {}

  void heading(std::string_view text) { body_ += close() + "<h2>" + escaped_html(text) + "</h2>"; }
  void paragraph(std::string_view text) { body_ += close() + "<p>" + escaped_html(text) + "</p>"; }
  /// As it is written, each line by itself: a command, a configuration.
  void verbatim(std::string_view text) {
    body_ += close() + "<pre tabindex=\"0\">" + escaped_html(text) + "</pre>";
  }
  void table(Table const& table) { body_ += close() + html(table); }

  /// A figure with what it shows and how to read it, the series that no axis names, and its numbers
  /// below it, folded. Neighbouring figures stand side by side where there is room.
  void figure(Chart const& chart, std::string_view reading,
              std::vector<std::pair<std::size_t, std::string>> const& series,
              Table const& numbers) {
    if (!in_figures_) body_ += "<div class=\"figures\">";
    in_figures_ = true;
    body_ += "<figure>" + chart.svg() + "<ul class=\"key\">";
    for (auto const& [number, name] : series) {
      body_ += "<li>" + chart.sample(number) + escaped_html(name) + "</li>";
    }
    body_ += "</ul><figcaption><b>" + escaped_html(chart.title()) + ".</b> " +
             escaped_html(reading) + "</figcaption><details><summary>Numbers</summary>" +
             html(numbers) + "</details></figure>";
  }
  /// Markup of the caller's own.
  void raw(std::string_view markup) { body_ += close().append(markup); }

  std::string text() const {
    return "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
           "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>" +
           escaped_html(title_) + "</title><style>" + std::string{style} +
           "</style></head><body><main><h1>" + escaped_html(title_) + "</h1>" + body_ +
           (in_figures_ ? "</div>" : "") + "</main></body></html>\n";
  }

 private:
  std::string close() { return std::exchange(in_figures_, false) ? "</div>" : ""; }

  /// Series: the colours of Okabe and Ito ("Color universal design", 2008), lighter ones on dark
  /// ground, and dashes, which paper without colours keeps.
  static constexpr std::string_view style = R"(
:root{--ground:#fff;--ink:#1a1d21;--dim:#565d66;--rule:#d5d9de;--soft:#f3f5f7;
--c0:#0072b2;--c1:#c44e00;--c2:#00795a;--c3:#a8487e;--c4:#7a5c00;--c5:#3d4fb5;--c6:#5b5b5b;--c7:#9c2f2f}
@media(prefers-color-scheme:dark){:root{--ground:#14171a;--ink:#e6e8ea;--dim:#a3abb4;--rule:#394048;
--soft:#1d2226;--c0:#56b4e9;--c1:#ff9a52;--c2:#3fd0a4;--c3:#eb9cc9;--c4:#e6c34d;--c5:#a3b1ff;--c6:#c2c2c2;--c7:#ff8f8f}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1000px;margin:0 auto;padding:16px}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-top:1px solid var(--rule);padding-top:1rem}
p{max-width:75ch;overflow-wrap:anywhere}
pre{background:var(--soft);padding:10px;overflow-x:auto;font-size:.85rem}
.scroll{overflow-x:auto;margin:.5rem 0 1.2rem;background:linear-gradient(90deg,var(--ground) 40%,transparent) left/40px 100% no-repeat local,
linear-gradient(-90deg,var(--ground) 40%,transparent) right/40px 100% no-repeat local,
linear-gradient(90deg,var(--rule),transparent) left/14px 100% no-repeat,linear-gradient(-90deg,var(--rule),transparent) right/14px 100% no-repeat}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:3px 10px 3px 0;text-align:left;white-space:nowrap;border-bottom:1px solid var(--rule)}
td:last-child:not(.number){white-space:normal}
th{color:var(--dim);font-weight:600}.number{text-align:right;padding-left:10px}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:24px}
figure{margin:0;min-width:0;max-width:480px;break-inside:avoid}figure>svg{width:100%;height:auto;display:block}
h3{font-size:1rem;margin:1rem 0 .25rem}
figcaption{font-size:.85rem;color:var(--dim)}figcaption b{color:var(--ink)}
details{font-size:.85rem}summary{cursor:pointer;color:var(--dim)}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:2px 0;padding:0;font-size:.85rem}
.key svg{width:24px;height:10px;margin-right:5px}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .tick{fill:var(--dim);font-size:11px}
.grid{stroke:var(--rule);stroke-width:.6}.axis{stroke:var(--dim);fill:none}
.line{fill:none;stroke-width:2}.faint{stroke-width:1;opacity:.3}.band{opacity:.16;stroke:none}
.whisker{stroke-width:3;opacity:.55;fill:none}.reference{stroke:var(--dim);stroke-dasharray:3 4;fill:none}
.line.s0,.whisker.s0{stroke:var(--c0)}.dot.s0,.band.s0{fill:var(--c0)}
.line.s1,.whisker.s1{stroke:var(--c1)}.line.s1{stroke-dasharray:8 3}.dot.s1,.band.s1{fill:var(--c1)}
.line.s2,.whisker.s2{stroke:var(--c2)}.line.s2{stroke-dasharray:2 3}.dot.s2,.band.s2{fill:var(--c2)}
.line.s3,.whisker.s3{stroke:var(--c3)}.line.s3{stroke-dasharray:10 3 2 3}.dot.s3,.band.s3{fill:var(--c3)}
.line.s4,.whisker.s4{stroke:var(--c4)}.line.s4{stroke-dasharray:5 5}.dot.s4,.band.s4{fill:var(--c4)}
.line.s5,.whisker.s5{stroke:var(--c5)}.line.s5{stroke-dasharray:12 4}.dot.s5,.band.s5{fill:var(--c5)}
.line.s6,.whisker.s6{stroke:var(--c6)}.line.s6{stroke-dasharray:1 4}.dot.s6,.band.s6{fill:var(--c6)}
.line.s7,.whisker.s7{stroke:var(--c7)}.line.s7{stroke-dasharray:6 2 1 2}.dot.s7,.band.s7{fill:var(--c7)}
.track{display:block;height:auto}.track .known{fill:var(--ink)}.track .unknown{fill:var(--rule)}.hover{fill:transparent}.hover:hover{fill:var(--ink);opacity:.15}
.line.s8,.whisker.s8{stroke:var(--dim)}.dot.s8,.band.s8{fill:var(--dim)}
@media print{main{max-width:none}details{display:none}h2{break-after:avoid}}
)";

  std::string title_, body_;
  bool in_figures_ = false;
};

}  // namespace qlora::inline v1::report
