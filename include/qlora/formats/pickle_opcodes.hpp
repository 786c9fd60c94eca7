/// Opcodes of Python's pickle, as the module `pickletools` describes them: those with which plain
/// data and torch's state dictionaries are written.
#pragma once

#include <cstdint>

namespace qlora::inline v1::pickle {

/// Arguments follow the opcode: "1" one byte, "2" two, "4" four, "8" eight, little-endian, of
/// length or value; "line" text up to a line feed.
enum class Opcode : std::uint8_t {
  proto = 0x80,  // 1
  frame = 0x95,  // 8
  stop = '.',
  mark = '(',

  none = 'N',
  new_true = 0x88,
  new_false = 0x89,
  integer = 'I',    // line; 00 and 01 are False and True
  long_text = 'L',  // line, which may end with an L
  binint = 'J',     // 4, signed
  binint1 = 'K',    // 1
  binint2 = 'M',    // 2
  long1 = 0x8a,     // 1, then so many bytes of two's complement
  long4 = 0x8b,     // 4, likewise

  unicode = 'V',            // line
  binunicode = 'X',         // 4, then so many bytes
  short_binunicode = 0x8c,  // 1, likewise
  binunicode8 = 0x8d,       // 8, likewise
  binstring = 'T',          // 4, likewise; Python 2
  short_binstring = 'U',    // 1, likewise; Python 2

  list = 'l',
  empty_list = ']',
  append = 'a',
  appends = 'e',
  tuple = 't',
  empty_tuple = ')',
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  dict = 'd',
  empty_dict = '}',
  set_item = 's',
  set_items = 'u',

  put = 'p',          // line
  binput = 'q',       // 1
  long_binput = 'r',  // 4
  memoize = 0x94,
  get = 'g',          // line
  binget = 'h',       // 1
  long_binget = 'j',  // 4

  // Whether and for what these are taken, the caller says.
  global = 'c',  // line, line
  stack_global = 0x93,
  reduce = 'R',
  build = 'b',
  binpersid = 'Q'
};

}  // namespace qlora::inline v1::pickle
