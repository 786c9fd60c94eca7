/// A study in parts: processes that know nothing of each other, and share a folder.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <qlora/core/output_folder.hpp>

namespace qlora::cli {

/// One of `count` parts, from 0.
struct Part {
  int number = 0, count = 1;

  /// "2/8". Throws InputError for anything that is no part of several.
  static Part parse(std::string const& text);
  /// Every `count`-th of these.
  std::vector<std::size_t> of(std::vector<std::size_t> const& all) const;
};

/// 0, 1, ... of so many runs.
std::vector<std::size_t> numbers(std::size_t runs);

/// Whether a command makes a part, or prints the script that makes them all.
struct PartOptions {
  std::string part;  ///< "2/8": that part of the runs, and no report; empty: all
  int slurm = 0;     ///< print a script that has Slurm make so many parts; 0: do not

  void add_to(CLI::App& command);
  /// Throws InputError for flags of no part, and where processes work together already.
  void check() const;
  bool is_part() const { return !part.empty(); }
  /// The runs that this process makes: of the part, or of its team's.
  Part own() const;
};

/// A shell script that has Slurm make a command's parts, and then the report of them all; its
/// arguments are those of sbatch.
std::string slurm_script(CLI::App const& command, int parts);

/// A study's folder, made and locked. `check` throws InputError where it is another's, or holds
/// something that is not to be resumed; a part waits for another that is just beginning it.
std::unique_ptr<FolderLock> claim_folder(std::filesystem::path const& out, bool is_part,
                                         std::function<void()> const& check);

}  // namespace qlora::cli
