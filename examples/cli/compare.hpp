/// Arms x seeds on the same data, in the same order.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "baselines.hpp"
#include "parts.hpp"
#include "run.hpp"

namespace qlora::cli {

struct CompareOptions {
  RunOptions run;  ///< its seed is the first; its placement is each arm's
  std::string arms = "qkv,all,qkv:r=6";
  int seeds = 5;
  std::string baselines{all_baselines};
  double margin = .02;         ///< of equivalence, in average precision
  bool no_null = false;        ///< without the first arm's second set of seeds
  bool no_equal_loss = false;  ///< without a look at the test split after each epoch
  bool published = false;      ///< print the model card's numbers, too
  std::string rates;           ///< of which each arm takes the best on valid; empty: the flag's
  bool resume = false;         ///< go on with the study in the folder
  PartOptions parts;
  SplitFiles files;
  std::string out;

  /// The flags besides model and data.
  void add_to(CLI::App& command);
  /// Throws InputError for flags that make no comparison.
  void check() const;
  /// As check(), and chooses the device and the compute type. Throws SystemError for a device that
  /// is not there.
  void prepare();
};

/// Runs every arm with every seed, fills the folder, and prints the table. The flags of `command`
/// are kept as `config.toml`.
void compare(CompareOptions options, CLI::App const& command);

}  // namespace qlora::cli
