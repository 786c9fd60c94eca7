#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/json.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using namespace std::string_literals;
using testing::input_error_of;

TEST(Json, BuildsTheDocument) {
  auto const text = R"({"a": [1, -2, 2.5, true, null, "x", {}], "b": {"c": [[]]}, "d": "é"})";
  EXPECT_EQ(json::parse(text, "f"), Json::parse(text));
  EXPECT_EQ(json::parse(" 7 ", "f"), Json(7));
}

TEST(Json, KeepsTheOrderOfKeysWhereAsked) {
  auto const text = std::string{R"({"b":1,"a":{"d":[{"z":0,"y":"x"}],"c":null}})"};
  EXPECT_EQ(json::parse<OrderedJson>(text, "f").dump(), text);
  EXPECT_THROW(json::parse<OrderedJson>(R"({"b": 1, "a": 2, "b": 3})", "f"), InputError);
}

TEST(Json, RefusesMalformedText) {
  struct Case {
    std::string text, expected;
  };
  auto const deep = std::string(100'000, '[');
  auto const deep_objects = [] {
    auto text = std::string{};
    for (auto i = 0; i < 100'000; ++i) text += "{\"a\":";
    return text;
  }();
  auto const cases = std::vector<Case>{
      {"", "f: invalid JSON at byte 1: "},
      {"{\"a\": 1", "f: invalid JSON at byte 8: "},
      {"{\"a\": 1}}", "f: invalid JSON at byte 9: "},
      {"{\"a\": NaN}", "f: invalid JSON at byte 7: "},
      {"{\"a\": 1e999}", "number overflow"},
      {"{\"a\": 01}", "f: invalid JSON at byte 8: "},
      {"{\"a\": \"\xff\"}", "f: invalid JSON at byte 8: "},
      {"{\"a\": \"\xc0\x80\"}", "invalid string: ill-formed UTF-8 byte"},
      {"{\"a\": \"\\ud800\"}", "invalid string: surrogate"},
      {"{\"a\": 1}\0 trailing"s, "f: invalid JSON at byte 9: a NUL byte"},
      {"{\"a\": 1, \"a\": 2}", "f: duplicate key \"a\""},
      {"[{\"b\": {\"a\": {}, \"a\": {}}}]", "f: duplicate key \"a\""},
      {"// comment\n{}", "f: invalid JSON at byte 1: "},
      {deep, "f: expected JSON nested at most 64 deep"},
      {deep_objects, "f: expected JSON nested at most 64 deep"},
  };
  for (auto const& malformed : cases) {
    auto const error = input_error_of([&] { json::parse(malformed.text, "f"); });
    EXPECT_NE(error.find(malformed.expected), std::string::npos)
        << printable(malformed.text) << " gave " << error;
    EXPECT_LT(error.size(), 300u);
  }
}

/// Whatever is open at the end of the text: the lexer would hold it, and spell it in its message.
TEST(Json, RefusesTokensThatAreNone) {
  auto const most = std::size_t{1} << 20;
  EXPECT_EQ(json::parse("\"" + std::string(most - 2, 'a') + "\"", "f").size(), 1u);
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"{\"" + std::string(most, 'a'), "byte 2"},
      {"[\"" + std::string(most, '\\'), "byte 2"},
      {"[1." + std::string(most, '0') + "]", "byte 1"},
      {"{\"a\":\"" + std::string(most, 'a') + "\"}", "byte 6"},
      {"{" + std::string(most + 1, '\n') + "x", "byte 1"}};
  for (auto const& [text, place] : cases) {
    EXPECT_EQ(input_error_of([&, &text = text] { json::parse(text, "f"); }),
              "f: invalid JSON at " + place + ": expected tokens of at most 1048576 bytes");
  }
}

TEST(Json, BoundsTheValues) {
  auto text = std::string{"[{}"};
  for (auto i = 0; i < 200'000; ++i) text += ",{}";
  text += "]";
  EXPECT_EQ(input_error_of([&] { json::parse(text, "f"); }),
            "f: expected at most 200000 values, found more");
  EXPECT_EQ(json::parse(text, "f", text.size()).size(), 200'001u);
}

TEST(Json, ReadsAnObjectFromAFile) {
  auto const folder = testing::TemporaryFolder{};
  EXPECT_EQ(json::read_object(folder.write("a", "{\"a\": 1}")), Json({{"a", 1}}));
  auto const list = folder.write("b", "[]");
  EXPECT_EQ(input_error_of([&] { json::read_object(list); }),
            list.string() + ": expected a JSON object");
}

auto const sample = Json::parse(R"({"i": 3, "f": 2.5, "whole": 2.0, "s": "x", "t": true, "n": null,
  "huge": 9223372036854775808, "minus": -4, "list": ["a", "b"], "mixed": ["a", 1]})");

TEST(JsonField, GivesValuesOfTheRightType) {
  EXPECT_EQ(json::require<std::int64_t>(sample, "i", "f"), 3);
  EXPECT_EQ(json::require<std::int64_t>(sample, "minus", "f"), -4);
  EXPECT_EQ(json::require<double>(sample, "f", "f"), 2.5);
  EXPECT_EQ(json::require<double>(sample, "i", "f"), 3.0);
  EXPECT_EQ(json::require<std::string>(sample, "s", "f"), "x");
  EXPECT_TRUE(json::require<bool>(sample, "t", "f"));
  EXPECT_EQ(json::require<std::vector<std::string>>(sample, "list", "f").size(), 2u);
  EXPECT_FALSE(json::find<bool>(sample, "n", "f"));
  EXPECT_FALSE(json::find<bool>(sample, "absent", "f"));
}

TEST(JsonField, RefusesOthersInASentence) {
  auto const integer = [](std::string_view key) {
    return input_error_of([&] { json::require<std::int64_t>(sample, key, "f"); });
  };
  EXPECT_EQ(integer("f"), "f: f: expected an integer, found 2.5");
  EXPECT_EQ(integer("whole"), "f: whole: expected an integer, found 2.0");
  EXPECT_EQ(integer("s"), "f: s: expected an integer, found \"x\"");
  EXPECT_EQ(integer("t"), "f: t: expected an integer, found true");
  EXPECT_EQ(integer("huge"), "f: huge: expected an integer, found 9223372036854775808");
  EXPECT_EQ(integer("list"), "f: list: expected an integer, found a list");
  EXPECT_EQ(integer("n"), "f: n: expected an integer, found nothing");
  EXPECT_EQ(integer("absent"), "f: absent: expected an integer, found nothing");
  EXPECT_EQ(input_error_of([] { json::find<bool>(sample, "i", "f"); }),
            "f: i: expected true or false, found 3");
  EXPECT_EQ(input_error_of([] { json::find<std::vector<std::string>>(sample, "mixed", "f"); }),
            "f: mixed: expected a list of strings, found a list");
}

TEST(JsonField, ReadsListsOfNumbers) {
  auto const numbers = Json{{"pair", {0.5, 16}}, {"mixed", {1, "x"}}};
  EXPECT_EQ(json::find<std::vector<double>>(numbers, "pair", "f"), (std::vector{.5, 16.}));
  EXPECT_EQ(input_error_of([&] { json::find<std::vector<double>>(numbers, "mixed", "f"); }),
            "f: mixed: expected a list of finite numbers, found a list");
}

TEST(JsonField, ChecksRanges) {
  EXPECT_EQ(json::within<std::int64_t>(3, 1, 3, "k", "f"), 3);
  EXPECT_EQ(input_error_of([] { json::within<std::int64_t>(0, 1, 3, "k", "f"); }),
            "f: k: expected 1 to 3, found 0");
}

}  // namespace
}  // namespace qlora
