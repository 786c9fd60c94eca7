/// What an error says.
#pragma once

#include <string>

namespace qlora::testing {

/// What the error of type E that `action` throws says; "no error" if it throws none.
template <class E, class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (E const& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace qlora::testing
