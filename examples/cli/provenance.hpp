/// How the numbers of a report came about.
#pragma once

#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>

#include <qlora/report/page.hpp>

#include "splits.hpp"

namespace qlora::cli {

struct Provenance {
  std::string command;   ///< that makes them again
  std::string folder;    ///< to which its paths are relative
  std::string settings;  ///< config.toml
  std::string model, model_fingerprint;

  /// Of a command that left its `config.toml`, with these settings, in the folder.
  static Provenance of(CLI::App const& command, std::filesystem::path const& out,
                       std::string settings, std::string model, std::string fingerprint);
};

/// The last section of a report.
void add_provenance(report::Page& page, Provenance const& provenance, Splits const& splits);

}  // namespace qlora::cli
