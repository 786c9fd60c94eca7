/// What a user should know and nobody asked for.
#pragma once

#include <string>

namespace qlora::cli {

/// Keeps a line until work begins: what is refused before that is one sentence alone.
void hold_note(std::string note);

/// Says the lines that are held, on stderr.
void say_notes();

}  // namespace qlora::cli
