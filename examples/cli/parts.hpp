/// A study in parts: processes that know nothing of each other, and share a folder.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace qlora::cli {

/// One of `count` parts, from 0.
struct Part {
  int number = 0, count = 1;

  /// "2/8". Throws InputError for anything that is no part of several.
  static Part parse(std::string const& text);
};

/// A shell script that has Slurm make a command's parts, and then the report of them all; its
/// arguments are those of sbatch.
std::string slurm_script(CLI::App const& command, int parts);

}  // namespace qlora::cli
