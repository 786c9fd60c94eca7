/// Where a command's flags come from besides the command line, and how they are written down.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "files.hpp"

namespace qlora::cli {

/// A flag's name and its value.
using Flag = std::pair<std::string, std::string>;

/// Spells out `--recipe` and puts the flags of `--config`'s file before those of the command line,
/// so that the last one counts. Throws InputError for a file that cannot be used.
std::vector<std::string> expand(CLI::App& app, std::vector<std::string> const& arguments);

/// Every flag of a parsed command with its value, as TOML that `--config` takes; the output folder
/// is left out. `settled` has the flags that came out otherwise than they were given, empty where
/// they did not count.
std::string settings(CLI::App const& command, std::vector<Flag> const& settled);
/// The same as an object of texts.
OrderedJson settings_json(CLI::App const& command, std::vector<Flag> const& settled);

/// The command's flags outside a group of `--help`, each with an empty value.
std::vector<Flag> flags_outside(CLI::App const& command, std::string const& group);

}  // namespace qlora::cli
