#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/adapt/path_pattern.hpp>

#include "support/files.hpp"

namespace qlora::peft {
namespace {

auto const path = std::string{"esm.encoder.layer.3.attention.self.query"};

/// Every expectation is what Python's re.fullmatch answers.
TEST(PathMatcher, MatchesAsPythonDoes) {
  auto const cases = std::vector<std::pair<std::string, bool>>{
      {R"-()-", false},
      {R"-(.*)-", true},
      {R"-(.+)-", true},
      {R"-(.*query)-", true},
      {R"-(.*\.(query|key))-", true},
      {R"-(esm\..*)-", true},
      {R"-([a-z.0-9]*)-", true},
      {R"-([^x]*)-", true},
      {R"-([^q]*)-", false},
      {R"-(\w+)-", false},
      {R"-([\w.]+)-", true},
      {R"-(\D*)-", false},
      {R"-(\D*\d\D*)-", true},
      {R"-(.*\.\d{1,2}\..*)-", true},
      {R"-(.*\.\d{2}\..*)-", false},
      {R"-(.*[0-2]\..*)-", false},
      {R"-(.*[3-5]\..*)-", true},
      {R"-((?:esm|x)(\.[a-z0-9]+)+)-", true},
      {R"-((\.?[a-z0-9]+){7})-", true},
      {R"-((\.?[a-z0-9]+){8})-", true},
      {R"-((\.?[a-z0-9]+){2,}?)-", true},
      {R"-((?!.*key).*)-", true},
      {R"-((?!.*query).*)-", false},
      {R"-(.*(?=query).*)-", true},
      {R"-(^esm.*query$)-", true},
      {R"-(esm.*$x)-", false},
      {R"-((?P<a>esm).*)-", true},
      {R"-(a|esm.*)-", true},
      {R"-(|.*)-", true},
      {R"-((a|)esm.*)-", true},
      {R"-((a?)*.*)-", true},
      {R"-((a*)*)-", false},
      {R"-(e{1}sm.*)-", true},
      {R"-(e{0}esm.*)-", true},
      {R"-(e{0,2}sm.*)-", true},
      {R"-(e{2}sm.*)-", false},
      {R"-([]e]sm.*)-", true},
      {R"-([e-]sm.*)-", true},
      {R"-(.*\.(?!key)\w+)-", true},
      {R"-(\S*)-", true},
      {R"-(\s*.*\s?)-", true},
  };
  for (auto const& [pattern, expected] : cases) {
    EXPECT_EQ((PathMatcher{pattern, path}.run()), expected) << pattern;
  }
  EXPECT_TRUE((PathMatcher{"", ""}.run()));
  EXPECT_TRUE((PathMatcher{"a*$", ""}.run()));
  EXPECT_FALSE((PathMatcher{"a", ""}.run()));
}

TEST(PathMatcher, RefusesWhatItCannotRead) {
  auto deep = std::string{};
  for (auto i = 0; i < 33; ++i) deep += "(";
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"(a", "character 2: expected ')'"},
      {"a)", "character 1: unexpected ')'"},
      {"[a", "character 2: unexpected end"},
      {"a\\", "character 2: unexpected end"},
      {"*a", "character 1: expected something to repeat"},
      {"a**", "character 3: expected something to repeat"},
      {"a{,2}", "character 2: expected a number"},
      {"a{3,2}", "expected a range such as {1,3}"},
      {"a{1234}", "expected a range such as {1,3}"},
      {"\\bquery", "character 2: unsupported escape"},
      {"(a)\\1", "unsupported escape"},
      {"(?<=a)b", "expected a plain group"},
      {"(?P<a", "unexpected end"},
      {"[z-a]", "unsupported range"},
      {"[\\D]", "unsupported escape in a class"},
      {deep, "expected groups nested at most 32 deep"},
      {std::string(1'001, 'a'), "expected at most 1000 characters"},
  };
  for (auto const& [pattern, expected] : cases) {
    auto const error = testing::input_error_of([&] { PathMatcher{pattern, path}.run(); });
    EXPECT_NE(error.find(expected), std::string::npos) << pattern << " gave " << error;
  }
}

TEST(PathMatcher, BoundsTheWork) {
  EXPECT_FALSE((PathMatcher{"(.*)*(.*)*(.*)*(.*)*(.*)*x", path}.run()));
  EXPECT_FALSE((PathMatcher{"(([a-z.0-9]+)+)+x", path}.run()));
  auto nested = std::string{"a?"};
  for (auto i = 0; i < 8; ++i) nested.insert(0, "(").append("){999}");
  auto classes = std::string{"("};
  for (auto i = 0; i < 400; ++i) classes += "\\w";
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {nested, std::string(900, 'a')},
      {"((" + std::string(900, '|') + "){999}){999}", ""},
      {"((){999}){999}", ""},
      {"((?P<" + std::string(900, 'a') + ">){999}){999}", ""},
      {"((([\x01-\x7f]?){99}){999}){999}", ""},
      {classes + "?){999}", std::string(900, 'a')}};
  for (auto const& [pattern, text] : cases) {
    auto const error = testing::input_error_of([&] { PathMatcher{pattern, text}.run(); });
    EXPECT_NE(error.find("takes too many steps"), std::string::npos) << pattern << error;
  }
}

}  // namespace
}  // namespace qlora::peft
