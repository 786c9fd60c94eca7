/// Where a command's flags come from besides the command line, and how they are written down.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace qlora::cli {

/// Spells out `--recipe` and puts the flags of `--config`'s file before those of the command line,
/// so that the last one counts. Throws InputError for a file that cannot be used.
std::vector<std::string> expand(CLI::App& app, std::vector<std::string> const& arguments);

/// Every flag of a parsed command with its value, as TOML that `--config` takes; the output folder
/// is left out, and the flags `omitted`, which did not count.
std::string settings(CLI::App const& command, std::vector<std::string> const& omitted = {});

}  // namespace qlora::cli
