// Figures and pages: what is drawn is where it should be, and text is only text.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/report/chart.hpp>
#include <qlora/report/page.hpp>
#include <qlora/report/track.hpp>

namespace qlora::report {
namespace {

std::size_t count(std::string const& text, std::string const& part) {
  auto found = std::size_t{0};
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Chart, ChoosesRoundTicks) {
  EXPECT_EQ(ticks(0, 1), (std::vector{0., .2, .4, .6000000000000001, .8, 1.}));
  EXPECT_EQ(ticks(3, 42), (std::vector{10., 20., 30., 40.}));
  EXPECT_EQ(ticks(-.012, .012).size(), 5u);  // by .005
  EXPECT_TRUE(ticks(2, 2).empty());
}

TEST(Chart, DrawsWithinItsAxes) {
  auto chart = Chart{"a < b", {.label = "x", .high = 10}, {.label = "y"}};
  EXPECT_TRUE(chart.empty());
  auto const nan = std::numeric_limits<double>::quiet_NaN();
  chart.line(1, {{0, 0}, {5, .5}, {nan, .5}, {8, nan}, {9, .9}, {10, 7}});
  chart.dot(2, {10, 1}, "ten & \"one\"");
  chart.dot(2, {nan, 1}, "nowhere");
  chart.whisker(3, {1, .2}, {1, .4});
  auto const svg = chart.svg();
  EXPECT_FALSE(chart.empty());
  EXPECT_NE(svg.find("aria-label=\"a &lt; b\""), std::string::npos);
  EXPECT_NE(svg.find("<title>ten &amp; &quot;one&quot;</title>"), std::string::npos);
  EXPECT_EQ(count(svg, "<circle"), 1u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  // Both ends of the line, the latter cut to the axis, and the gap in it.
  auto const path = svg.substr(svg.find("class=\"line s1\" d=\"") + 19);
  EXPECT_EQ(path.substr(0, path.find('"')), "M60.4 246.0L244.2 128.0M391.2 33.6L428.0 10.0");
  EXPECT_NE(svg.find("cx=\"428.0\" cy=\"10.0\""), std::string::npos);
}

TEST(Chart, NamesRows) {
  auto chart = Chart{"rows", {.label = "x"}, {.label = "", .names = {"first", "second"}}};
  chart.dot(0, {0, .5}, "of the first");
  chart.dot(0, {0, 1.5}, "of the second");
  auto const svg = chart.svg();
  EXPECT_LT(svg.find("cy=\"69.0\""), svg.find("cy=\"187.0\""));  // from above
  EXPECT_NE(svg.find(">first</text>"), std::string::npos);
}

TEST(Chart, SamplesAreDotsWhereAllMarksAre) {
  auto chart = Chart{"costs", {.label = "x"}, {.label = "y"}};
  chart.dot(2, {.5, .5}, "an arm");
  chart.line(2, {{.5, .6}});  // a dot, too
  EXPECT_NE(chart.sample(2).find("<circle class=\"dot s2\""), std::string::npos);
  chart.line(2, {{0, 0}, {1, 1}});
  EXPECT_NE(chart.sample(2).find("<path class=\"line s2\""), std::string::npos);
}

TEST(Page, HoldsTextAsText) {
  auto page = Page{"T & t"};
  auto table = Table{{{"name", Align::left}, {"value"}}};
  table.add({"<b>", .25});
  auto chart = Chart{"figure", {.label = "x"}, {.label = "y"}};
  chart.line(0, {{0, 0}, {1, 1}});
  page.figure(chart, "reads & says", {{0, "qkv<"}}, table);
  page.figure(chart, "again", {}, table);
  page.heading("Next");
  page.table(table);
  auto const text = page.text();
  EXPECT_EQ(count(text, "<div class=\"figures\">"), 1u);  // side by side
  EXPECT_EQ(count(text, "<figure>"), 2u);
  EXPECT_LT(text.rfind("</figure></div>"), text.find("<h2>Next</h2>"));
  EXPECT_EQ(count(text, "<td>&lt;b&gt;</td><td class=\"number\">0.2500</td>"), 3u);
  EXPECT_NE(text.find("qkv&lt;"), std::string::npos);
  for (auto const* const elsewhere : {"http://", "https://", "src=", "@import", "url("}) {
    EXPECT_EQ(text.find(elsewhere), std::string::npos) << elsewhere;
  }
  EXPECT_EQ(text, page.text());
}

TEST(Track, ShowsEveryResidue) {
  auto const protein = Protein{.id = "p", .sequence = "MKV", .labels = {1, 0, -1}};
  auto track = Track{protein};
  track.add(2, "all", {.5, .01, 1.});
  auto const svg = track.svg();
  EXPECT_EQ(count(svg, "class=\"known\""), 1u);
  EXPECT_EQ(count(svg, "class=\"unknown\""), 1u);
  EXPECT_EQ(count(svg, "class=\"dot s2\""), 2u);
  EXPECT_NE(svg.find("<title>M 1: a site; all 0.50</title>"), std::string::npos);
  EXPECT_NE(svg.find("<title>K 2: no site; all 0.01</title>"), std::string::npos);
  EXPECT_NE(svg.find("<title>V 3: not known; all 1.00</title>"), std::string::npos);
}

}  // namespace
}  // namespace qlora::report
