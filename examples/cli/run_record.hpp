/// What a run found, kept so that a study can go on after it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <qlora/core/json.hpp>

#include "files.hpp"
#include "run.hpp"
#include "run_result.hpp"
#include "splits.hpp"

namespace qlora::cli {

/// What decides a run of a command, besides what its caller adds: this program's version, model,
/// data, groups, device, compute type, the training flags and those that are named; of --quant, how
/// the model stores its weights, whatever was asked.
OrderedJson run_identity(CLI::App const& command, std::vector<std::string> const& deciding_flags,
                         RunOptions const& run, Splits const& splits,
                         std::string const& quantization);

/// Writes `result` with what decided it: equal `identity`, equal run.
void write_record(std::filesystem::path const& file, OrderedJson const& identity,
                  RunResult const& result);

/// Writes a record with its checksum; `record["run"]` is what decided it.
void write_identified(std::filesystem::path const& file, OrderedJson record);

/// What that wrote, of whose `run` nothing is checked. Throws InputError for a file that it did not
/// write, or that was changed since.
OrderedJson read_identified(std::filesystem::path const& file);

/// What write_record wrote. Throws InputError for a file that it did not, and where the identity
/// was another, naming the first key that differs.
RunResult read_record(std::filesystem::path const& file, OrderedJson const& identity);

/// Throws InputError, naming the first key, unless what was recorded in that file has the same
/// values.
void check_identity(Json const& recorded, OrderedJson const& expected, std::string const& file);

}  // namespace qlora::cli
