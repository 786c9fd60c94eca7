/// Files that commands read and write.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <qlora/core/json.hpp>
#include <qlora/data/labels.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::cli {

/// A labelled file and its content.
struct DataSet {
  std::string file;
  std::string fingerprint;  ///< "xxh3:" and 32 hexadecimal digits
  std::vector<Protein> proteins;
  SkipCounts skipped;

  /// Throws InputError for a file that cannot be used, or without a labelled residue.
  static DataSet read(std::string const& file);
  /// Throws InputError unless it has sites and other residues: what is judged by it would be no
  /// number.
  void expect_both_classes() const;
  /// Notes what was skipped and why.
  void report_skipped() const;
};

/// The fingerprint of a file's bytes. Throws InputError for one that cannot be read.
std::string file_fingerprint(std::filesystem::path const& file);

/// The fingerprint of a model: of its configuration and of the files of its tensors. Throws
/// InputError for a folder that is no model.
std::string model_fingerprint(std::string const& model);

/// `refuse_occupied` of a command that was not told to --resume, which is named where it would be
/// of use.
void refuse_occupied_run(std::filesystem::path const& out,
                         std::function<bool(std::filesystem::path const&)> const& can_be_resumed);

/// Whether nothing is there but files that a process began to write.
bool is_beginning(std::filesystem::path const& folder);

/// The flags that the command which left its config.toml there was given; none without the file.
/// Throws InputError for a file of that name that is none.
std::set<std::string> configured(std::filesystem::path const& folder);

/// Removes what a process that was killed had begun to write; the folder must be this one's alone.
void remove_unfinished(std::filesystem::path const& folder);

/// Throws InputError, before any work is done, for a path at which no file can be created.
void check_output(std::filesystem::path const& file);

/// Replaces a file by the document.
void write_json(std::filesystem::path const& file, OrderedJson const& document);

}  // namespace qlora::cli
