#include "notes.hpp"

#include <iostream>
#include <utility>
#include <vector>

namespace qlora::cli {
namespace {

std::vector<std::string>& held() {
  static auto notes = std::vector<std::string>{};
  return notes;
}

}  // namespace

void hold_note(std::string note) {
  held().push_back(std::move(note));
}

void say_notes() {
  for (auto const& note : std::exchange(held(), {})) std::cerr << note << "\n";
}

}  // namespace qlora::cli
