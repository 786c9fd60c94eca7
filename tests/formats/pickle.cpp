#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/formats/pickle.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using pickle::Kind;
using pickle::Machine;
using pickle::Value;
using testing::input_error_of;
using namespace std::string_literals;

std::span<std::byte const> bytes_of(std::string const& text) {
  return std::as_bytes(std::span{text});
}

/// The value as Python would print it, None and tuples of one aside.
std::string shown(pickle::Values const& values, Value value) {
  auto text = std::string{};
  for (auto const item : values.items(value)) {
    text += (text.empty() ? "" : ",") + shown(values, item);
  }
  switch (values.kind(value)) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return value.index() == pickle::Values::true_value.index() ? "True" : "False";
    case Kind::integer:
      return std::to_string(values.integer(value));
    case Kind::string:
      return "'" + std::string{values.text(value)} + "'";
    case Kind::list:
      return "[" + text + "]";
    case Kind::tuple:
      return "(" + text + ")";
    default:
      return "{" + text + "}";
  }
}

std::string loaded(std::string const& pickle) {
  auto machine = Machine{bytes_of(pickle), "f"};
  auto const value = machine.run_all();
  return shown(machine.values(), value);
}

std::string pickle_error(std::string const& pickle) {
  return input_error_of([&] { loaded(pickle); });
}

TEST(Pickle, BuildsPlainDataOfAnyProtocol) {
  // Each by pickle.dumps(value, protocol) of Python 3.11.
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"(lp0\nVMK\np1\naI5\naI01\naNa.", "['MK',5,True,None]"},
      {"]q\0(X\2\0\0\0MKq\1K\5I01\nNe."s, "['MK',5,True,None]"},
      {"\x80\2]q\0(X\2\0\0\0MKq\1K\5\x88Ne."s, "['MK',5,True,None]"},
      {"\x80\4\x95\x0e\0\0\0\0\0\0\0]\x94(\x8c\2MK\x94K\5\x88Ne."s, "['MK',5,True,None]"},
      {"\x80\2(M\xe8\3J\xff\xff\xff\xffJ\0\0\0\x80\x8a\5\0\0\0\0\1tq\0."s,
       "(1000,-1,-2147483648,4294967296)"},
      {"(I-1\nL4294967296L\ntp0\n.", "(-1,4294967296)"},
      {"\x80\2\x8a\x08\0\0\0\0\0\0\0\x80."s, "-9223372036854775808"},
      {"\x80\2\x8a\1\xff."s, "-1"},
      {"\x80\2\x8a\0."s, "0"},
      {"\x80\2}q\0(X\1\0\0\0aq\1)X\1\0\0\0bq\2K\1K\2\x86q\3u."s, "{'a',(),'b',(1,2)}"},
      {"(dp0\nVa\np1\nI1\ns.", "{'a',1}"},
      {"\x80\2]q\0(X\1\0\0\0xq\1h\1h\1e."s, "['x','x','x']"},
      {"\x80\2U\1aq\1."s, "'a'"},
      {"\x80\4\x8c\1a\x94."s, "'a'"},
      {"\x80\4\x8d\1\0\0\0\0\0\0\0a\x94."s, "'a'"},
  };
  for (auto const& [pickle, expected] : cases) EXPECT_EQ(loaded(pickle), expected) << pickle;
}

TEST(Pickle, CallsNothing) {
  // os.system('touch /tmp/x') and its relatives, by hand.
  EXPECT_EQ(pickle_error("cos\nsystem\n(S'true'\ntR."),
            "f: byte 0: expected plain data, found the global \"os.system\"");
  EXPECT_EQ(pickle_error("\x80\4\x8c\5posix\x94\x8c\6system\x94\x93\x94."s),
            "f: byte 19: expected plain data, found the global \"posix.system\"");
  auto const opcode = [](std::string const& pickle, char const* code) {
    EXPECT_NE(pickle_error(pickle).find("builds plain data, found "s + code), std::string::npos)
        << pickle_error(pickle);
  };
  opcode("K\1K\1R."s, "0x52");            // REDUCE
  opcode("(ios\nsystem\n.", "0x69");      // INST
  opcode("(K\1o."s, "0x6f");              // OBJ
  opcode("K\1K\1\x81."s, "0x81");         // NEWOBJ
  opcode("K\1K\1K\1\x92."s, "0x92");      // NEWOBJ_EX
  opcode("}}b.", "0x62");                 // BUILD
  opcode("K\1Q."s, "0x51");               // BINPERSID
  opcode("Pos\n.", "0x50");               // PERSID
  opcode("\x82\1."s, "0x82");             // EXT1
  opcode("G\0\0\0\0\0\0\0\0."s, "0x47");  // BINFLOAT
  opcode("C\1a."s, "0x43");               // SHORT_BINBYTES
  opcode("\x97.", "0x97");                // NEXT_BUFFER
  opcode("N0.", "0x30");                  // POP
  opcode("N2.", "0x32");                  // DUP
  opcode("(1.", "0x31");                  // POP_MARK
  opcode("S'a'\n.", "0x53");              // STRING
  opcode("\xff", "0xff");
  // Whatever builds no plain data. Those with which torch calls are not among it.
  auto const plain =
      "\x80\x95.(N\x88\x89ILJKM\x8a\x8bVX\x8c\x8dTUl]aet)\x85\x86\x87"
      "d}supqr\x94ghj"s;
  for (auto code = 0; code < 256; ++code) {
    auto const byte = static_cast<char>(code);
    if (plain.find(byte) != plain.npos || byte == 'c' || byte == '\x93') continue;
    char name[8];
    std::snprintf(name, sizeof name, "0x%02x", code);
    opcode("NN"s + byte + ".", name);
  }
}

TEST(Pickle, RefusesWhatIsMalformed) {
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"", "byte 0: expected an opcode, found the end"},
      {"N", "byte 1: expected an opcode, found the end"},  // no STOP
      {".", "expected a value for the opcode, found none"},
      {"NN.", "expected one value at the end"},
      {"(N.", "expected one value at the end"},
      {"N.N", "byte 2: expected the end of the file, found 1 more bytes"},
      {"\x80\6N.", "expected protocol 5 at most, found 6"},
      {"\x95\1\0\0\0\0\0\0\0."s, ""},
      {"\x95\5\0\0\0\0\0\0\0N."s, "expected a frame of 5 bytes, found 2"},
      {"X\5\0\0\0ab."s, "expected a string of 5 bytes, found 3"},
      {"\x8d\0\0\0\0\0\0\0\x10"
       "ab."s,
       "expected a string of 1152921504606846976 bytes, found 3"},
      {"T\xff\xff\xff\xff"
       "ab."s,
       "expected a string of 4294967295 bytes"},
      {"K", "expected an integer, found the end"},
      {"M\1", "expected a number of 2 bytes, found 1"},
      {"I5", "expected a line"},
      {"I5x\n.", "expected an integer of at most 64 bits, found \"5x\""},
      {"I\n.", "expected an integer"},
      {"L99999999999999999999L\n.", "expected an integer of at most 64 bits"},
      {"\x8a\x09\0\0\0\0\0\0\0\0\1."s, "expected an integer of at most 64 bits, found one of 9"},
      {"\x8b\xff\xff\xff\xff."s, "expected an integer of at most 64 bits, found one of 4294967295"},
      {"Va\\u0041\n.", "expected a string without escapes"},
      {"Na.", "expected a value for the opcode"},
      {"NNa.", "expected a list as what grows, found None"},
      {"K\1K\1a."s, "expected a list as what grows, found an integer"},
      {"]Ns.", "expected a value for the opcode"},
      {"]NNs.", "expected a dict as what grows, found a list"},
      {"}(Nu.", "expected a value for every key"},
      {"(Nd.", "expected a value for every key"},
      {"]e.", "expected a mark"},
      {"t.", "expected a mark"},
      {"](N](e.", "expected one value at the end"},
      {"(e.", "expected a value for the opcode"},
      {"N(\x85.", "expected a value for the opcode"},  // must not reach below its mark
      {"q\0."s, "expected a value for the opcode"},
      {"h\0."s, "expected a memo index that was set, found 0"},
      {"Nq\1h\0."s, "expected a memo index that was set, found 0"},
      {"Nr\xff\xff\xff\xff."s, "expected a memo index up to 1, found 4294967295"},
      {"Np18446744073709551615\n.", "expected a memo index up to 1, found 18446744073709551615"},
      {"g-1\n.", "expected an integer"},
      {std::string(2000, '(') + ".", "expected containers nested less deeply"},
      {std::string(3'000'000, 'N') + ".", "expected at most 2097152 values"},
  };
  for (auto const& [pickle, expected] : cases) {
    auto const error = pickle_error(pickle);
    EXPECT_NE(error.find(expected), std::string::npos) << error << " lacks " << expected;
  }
}

TEST(Pickle, NeedsLittleMemoryForBombs) {
  EXPECT_LT(pickle::memory_limit_bytes(3'000'000), std::size_t{64} << 20);
  auto lists = "("s;  // a million objects of a byte each, in batches
  for (auto i = 0; i < 20; ++i) lists += "(" + std::string(50'000, ']') + "l";
  EXPECT_NE(pickle_error(lists + "l.").find("expected data that unpack to at most"),
            std::string::npos);
  auto doubled = "\x80\2]q\0(NNe"s;  // names itself twice, forty times over
  for (auto i = 0; i < 40; ++i) doubled += "](h\0h\0eq\0"s;
  doubled += ".";
  auto machine = Machine{bytes_of(doubled), "f"};
  EXPECT_NE(input_error_of([&] { machine.run(); }).find("one value at the end"), std::string::npos);
  EXPECT_LT(machine.values().bytes(), 10'000u);
}

TEST(Pickle, HoldsCyclesAndChains) {
  auto const loop = "\x80\2]q\0h\0a."s;
  auto machine = Machine{bytes_of(loop), "f"};
  auto const cycle = machine.run_all();
  EXPECT_EQ(machine.values().items(cycle)[0].index(), cycle.index());
  auto const chain = "N" + std::string(200'000, '\x85') + ".";
  auto deep = Machine{bytes_of(chain), "f"};
  EXPECT_EQ(deep.values().kind(deep.run_all()), Kind::tuple);
}

TEST(Pickle, StopsAtAnyCut) {
  auto const whole = "\x80\4\x95\x0e\0\0\0\0\0\0\0]\x94(\x8c\2MK\x94K\5\x88Ne."s;
  for (auto size = std::size_t{0}; size < whole.size(); ++size) {
    EXPECT_NE(pickle_error(whole.substr(0, size)), "no error") << size;
  }
}

}  // namespace
}  // namespace qlora
