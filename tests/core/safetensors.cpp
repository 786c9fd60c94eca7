#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/safetensors.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using namespace std::string_literals;
using testing::input_error_of;
using testing::safetensors_bytes;
using testing::TemporaryFolder;

std::string const zeros(64, '\0');

std::string entry(std::string const& fields) {
  return "{\"a\":{" + fields + "}}";
}
std::string entry(std::string const& dtype, std::string const& shape, std::string const& offsets) {
  return entry("\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets);
}

auto const two_tensors =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("a":{"dtype":"U8","shape":[2,1],"data_offsets":[8,10]}}   )"s;

TEST(SafetensorsFile, FindsTensorsByName) {
  auto const folder = TemporaryFolder{};
  auto const data = "\0\0\x80\x3f\0\0\0\xc0xy"s;  // 1, -2, 'x', 'y'
  auto opened = SafetensorsFile{folder.write("m", safetensors_bytes(two_tensors, data))};
  auto const file = std::move(opened);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "a");
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}}));
  EXPECT_EQ(file.at("a").shape, (Extents{2, 1}));
  EXPECT_EQ(as_text(file.at("a").bytes), "xy");
  file.release(file.at("b"));
  EXPECT_EQ(read_floats(file.at("b"), "m"), (std::vector{1.f, -2.f}));
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_EQ(input_error_of([&] { std::ignore = file.at("c"); }),
            file.path().string() + ": tensor \"c\" is absent");
}

TEST(SafetensorsFile, AcceptsTheUnusualButLegal) {
  auto const folder = TemporaryFolder{};
  auto const cases = std::vector<std::pair<std::string, std::size_t>>{
      {"{}", 0},
      {"{}                  ", 0},
      {R"({"__metadata__":{}})", 0},
      {entry("F32", "[]", "[0,4]") + "  ", 4},
      {entry("F32", "[0,3]", "[0,0]"), 0},
      {entry("F32", "[3,0]", "[4,4]")
           .insert(1, R"("b":{"shape":[],"data_offsets":[0,4],"dtype":"I32"},)"),
       4},
      {entry("F64", "[1,1,1,1,1,1,1,1,1,1]", "[0,8]"), 8},
  };
  for (auto const& [header, size] : cases) {
    auto const path = folder.write("m", safetensors_bytes(header, zeros.substr(0, size)));
    EXPECT_EQ(input_error_of([&] { SafetensorsFile{path}; }), "no error") << header;
  }
}

TEST(SafetensorsFile, RefusesMalformedFiles) {
  auto const folder = TemporaryFolder{};
  struct Case {
    std::string bytes, expected;
  };
  auto const file = [](std::string const& header, std::size_t size) {
    return safetensors_bytes(header, zeros.substr(0, size));
  };
  auto const huge_header = "\x01\xe1\xf5\x05\0\0\0\0{}"s;  // 100,000,001
  auto const f32 = R"("dtype":"F32")"s, shape = R"("shape":[1])"s,
             offsets = R"("data_offsets":[0,4])"s;
  auto const pair = [&](std::string const& first, std::string const& second) {
    auto const tensor = [](std::string const& name, std::string const& at) {
      return "\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":)" + at + "}";
    };
    return "{" + tensor("a", first) + "," + tensor("b", second) + "}";
  };
  auto ones = std::string{};
  for (auto i = 0; i < 64; ++i) ones += "1,";
  auto const cases = std::vector<Case>{
      // The frame.
      {"", "found an empty file"},
      {"\x02\0\0\0"s, "expected an 8-byte header length, found a file of 4 bytes"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "found a Git LFS pointer"},
      {huge_header, "expected a header of at most 100000000 bytes, found one of 100000001"},
      {"\xff\xff\xff\xff\xff\xff\xff\xff{}"s, "found one of 18446744073709551615"},
      {"\x03\0\0\0\0\0\0\0{}"s, "expected a header of 3 bytes, but the file ends after 2"},
      {file("", 0), "expected a header that starts with '{'"},
      {file(" {}", 0), "expected a header that starts with '{'"},
      {file("[]", 0), "expected a header that starts with '{'"},
      {file("{\"a\":", 0), "invalid JSON at byte 6"},
      {file("{}\0"s, 0), "a NUL byte"},
      {file("{} x", 0), "invalid JSON at byte 4"},
      {file("{\"\xff\":{}}", 0), "ill-formed UTF-8 byte"},
      {file("{\"a\":" + std::string(100'000, '['), 0), "\"a\": expected an object, found a list"},
      {file("{\"a\":{\"shape\":" + std::string(100'000, '['), 0), "found a list"},
      // The fields.
      {file(R"({"a":1})", 0), "\"a\": expected an object, found 1"},
      {file(R"({"a":null})", 0), "\"a\": expected an object, found null"},
      {file(entry(shape + "," + offsets), 4), "tensor \"a\": dtype is missing"},
      {file(entry(f32 + "," + offsets), 4), "tensor \"a\": shape is missing"},
      {file(entry(f32 + "," + shape), 4), "data_offsets: expected 2 integers, found 0"},
      {file(entry(f32 + "," + shape + "," + offsets + R"(,"x":1)"), 4), "found \"x\""},
      {file(entry(f32 + "," + f32 + "," + shape + "," + offsets), 4), "duplicate key \"dtype\""},
      {file(entry(f32 + "," + shape + "," + shape + "," + offsets), 4), "duplicate key \"shape\""},
      {file(entry(f32 + "," + shape + "," + offsets + "," + offsets), 4), "duplicate key \"data_o"},
      {file(entry("F4", "[2]", "[0,1]"), 1), "tensor \"a\": unknown dtype \"F4\""},
      {file(entry(R"("dtype":1)"), 0), "dtype: expected a string, found 1"},
      {file(entry(R"("dtype":["F32"])"), 0), "dtype: expected a string, found a list"},
      {file(entry(R"("shape":"x")"), 0),
       "shape: expected a list of non-negative integers, found a"},
      {file(entry("F32", "[-1]", "[0,4]"), 4),
       "shape: expected a list of non-negative integers, f"},
      {file(entry("F32", "[1.0]", "[0,4]"), 4), "found 1.0"},
      {file(entry("F32", "[1." + std::string(1'000, '0') + "]", "[0,4]"), 4), "found 1.0"},
      {file("{\"" + std::string(2 << 20, 'a'), 0), "invalid JSON at byte 2: expected tokens of at"},
      {file(entry("F32", "[[1]]", "[0,4]"), 4), "found a list"},
      {file(entry("F32", "[{}]", "[0,4]"), 4), "found an object"},
      {file(entry("F32", "[true]", "[0,4]"), 4), "found true or false"},
      {file(entry("F32", "[9007199254740993]", "[0,4]"), 4), "expected integers up to 2^53"},
      {file(entry("F32", "[18446744073709551616]", "[0,4]"), 4), "found 18446744073709551616"},
      {file(entry("U8", "[" + ones + "1]", "[0,1]"), 1), "expected at most 64 dimensions"},
      {file(entry("F32", "[1]", "[0,9007199254740993]"), 4), "expected integers up to 2^53"},
      {file(entry("F32", "[1]", "[-1,4]"), 4),
       "data_offsets: expected a list of non-negative integers, found -1"},
      {file(entry("F32", "[1]", "[0,4.0]"), 4), "found 4.0"},
      {file(entry("F32", "[1]", "[0,4,4]"), 4), "data_offsets: expected 2 integers, found more"},
      {file(entry("F32", "[1]", "[0]"), 4), "data_offsets: expected 2 integers, found 1"},
      // The data.
      {file(entry("F32", "[2]", "[0,4]"), 4), "F32 2 takes 8 bytes, but has data_offsets 0 to 4"},
      {file(entry("F32", "[1]", "[0,8]"), 8), "F32 1 takes 4 bytes, but has data_offsets 0 to 8"},
      {file(entry("F32", "[1]", "[4,0]"), 4), "data_offsets 4 to 0 lie outside the 4 bytes"},
      {file(entry("F32", "[2]", "[0,8]"), 7), "data_offsets 0 to 8 lie outside the 7 bytes"},
      {file(entry("F32", "[4503599627370496,4503599627370496]", "[0,4]"), 4), "overflows"},
      {file(entry("U8", "[4294967296,4294967296]", "[0,0]"), 0), "overflows"},
      {file(entry("F32", "[2147483648,2147483648]", "[0,0]"), 0), "overflows"},
      {file(entry("F32", "[1]", "[0,4]"), 5), "expected 4 bytes of data, found 5"},
      {file("{}", 1), "expected 0 bytes of data, found 1"},
      {file(entry("F32", "[1]", "[1,5]"), 5), "begins at data byte 1, after a hole (expected 0)"},
      {file(pair("[0,4]", "[5,9]"), 9), "tensor \"b\" begins at data byte 5, after a hole"},
      {file(pair("[0,4]", "[3,7]"), 7),
       "tensor \"b\" begins at data byte 3, inside another tensor"},
      {file(pair("[0,4]", "[0,4]"), 4), "inside another tensor"},
      {file(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
            R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
            0),
       "duplicate tensor \"a\""},
      // The metadata.
      {file(R"({"__metadata__":{"a":1}})", 0), "metadata \"a\": expected a string, found 1"},
      {file(R"({"__metadata__":{"a":{}}})", 0),
       "metadata \"a\": expected a string, found an object"},
      {file(R"({"__metadata__":"x"})", 0), "\"__metadata__\": expected an object, found a string"},
      {file(R"({"__metadata__":{"a":"","a":""}})", 0), "duplicate key \"a\""},
      {file(R"({"__metadata__":{},"__metadata__":{}})", 0), "duplicate key \"__metadata__\""},
  };
  for (auto const& [bytes, expected] : cases) {
    auto const path = folder.write("m", bytes);
    auto const error = input_error_of([&] { SafetensorsFile{path}; });
    EXPECT_TRUE(error.starts_with(path.string() + ": ")) << error;
    EXPECT_NE(error.find(expected), std::string::npos) << printable(bytes) << " gave " << error;
    EXPECT_LT(error.size(), 400u);
  }
}

TEST(SafetensorsFile, RefusesEveryTruncation) {
  auto const folder = TemporaryFolder{};
  auto const whole = safetensors_bytes(two_tensors, zeros.substr(0, 10));
  for (auto size = std::size_t{0}; size < whole.size(); ++size) {
    auto const path = folder.write("m", whole.substr(0, size));
    EXPECT_THROW(SafetensorsFile{path}, InputError) << size;
  }
}

TEST(SafetensorsFile, BoundsTheMetadata) {
  auto const folder = TemporaryFolder{};
  auto header = R"({"__metadata__":{)"s;
  for (auto i = 0; i < 70'000; ++i) header += "\"" + std::to_string(i) + "\":\"\",";
  header.back() = '}';
  auto const path = folder.write("m", safetensors_bytes(header + "}", ""));
  EXPECT_NE(input_error_of([&] { SafetensorsFile{path}; }).find("at most 65536 metadata entries"),
            std::string::npos);
}

}  // namespace
}  // namespace qlora
