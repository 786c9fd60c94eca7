/// The one error hierarchy. A message names the file and place, what was expected and what was
/// found: "layer 3 key: expected 320x320, got 320x640 (model.safetensors)".
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace qlora::inline v1 {

/// Base of everything this library throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Input that cannot be used: a malformed file, an impossible configuration, bad usage. Programs
/// report it and exit with status 2.
class InputError : public Error {
 public:
  using Error::Error;
};

/// Operands whose shapes do not fit together; thrown at a verb's entry, before any work.
class ShapeError : public InputError {
 public:
  using InputError::InputError;
};

/// The machine's side failed: disk, memory, device. Programs report it and exit with status 1.
class SystemError : public Error {
 public:
  using Error::Error;
};

/// Training left the realm of finite numbers.
class DivergedError : public Error {
 public:
  using Error::Error;
};

/// The base of a sentence about a file: "FILE: what", or "FILE:line: what" when a line is known.
inline std::string at(std::string_view file, std::string_view what, std::size_t line = 0) {
  auto sentence = std::string{file};
  if (line != 0) sentence += ":" + std::to_string(line);
  return sentence.append(": ").append(what);
}

/// What `body` returns; an error of type E that it throws gets its place in front: "FILE: what".
template <class E, class Body>
decltype(auto) located(std::string_view file, Body&& body) {
  try {
    return body();
  } catch (E const& error) {
    throw E{at(file, error.what())};
  }
}

}  // namespace qlora::inline v1
