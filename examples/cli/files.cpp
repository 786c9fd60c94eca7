#include "files.hpp"

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/data/format.hpp>
#include <qlora/data/pickled.hpp>
#include <qlora/data/read.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/folder.hpp>

#include "hash.hpp"
#include "notes.hpp"
#include "toml.hpp"

namespace qlora::cli {
namespace {

void add_file(Hash& hash, std::filesystem::path const& file) {
  hash.add(MappedFile{file}.bytes());
}
std::string fingerprint(Hash const& hash) {
  return "xxh3:" + hash.text();
}

/// Of all files that labelled proteins are read from: of pickles, both.
std::string data_fingerprint(std::string const& file) {
  if (recognise(file) != DataFormat::pickled) return file_fingerprint(file);
  auto const pair = PickledPair::of(file);
  auto hash = Hash{};
  for (auto const& one : {pair.sequences, pair.labels}) add_file(hash, one);
  return fingerprint(hash);
}

}  // namespace

DataSet DataSet::read(std::string const& file) {
  auto [proteins, skipped] = read_labelled(file);
  return {file, data_fingerprint(file), std::move(proteins), std::move(skipped)};
}

std::string file_fingerprint(std::filesystem::path const& file) {
  auto hash = Hash{};
  add_file(hash, file);
  return fingerprint(hash);
}

void DataSet::expect_both_classes() const {
  auto const has = [&](auto label) {
    return std::ranges::any_of(proteins, [&](Protein const& protein) {
      return std::ranges::find(protein.labels, label) != protein.labels.end();
    });
  };
  if (has(label_positive) && has(label_negative)) return;
  throw InputError{at(file, "expected residues of both classes to judge by, found one")};
}

void DataSet::report_skipped() const {
  for (auto const& [reason, count] : skipped) {
    hold_note(file + ": skipped " + std::to_string(count) +
              (count == 1 ? " record: " : " records: ") + reason);
  }
}

std::string model_fingerprint(std::string const& model) {
  auto const folder = ModelFolder{find_model(model)};
  auto hash = Hash{};
  add_file(hash, folder.path() / "config.json");
  for (auto const& file : folder.tensors().files()) add_file(hash, file.path());
  return fingerprint(hash);
}

void refuse_occupied_run(
    std::filesystem::path const& out,
    std::function<bool(std::filesystem::path const&)> const& can_be_resumed) try {
  refuse_occupied(out);
} catch (InputError const& error) {
  if (!can_be_resumed(out)) throw;
  throw InputError{std::string{error.what()} + "; --resume goes on with what was begun there"};
}

namespace {
/// What write_atomically calls a file while it writes it: NAME.PROCESS-COUNT.part
bool is_unfinished(std::filesystem::directory_entry const& entry) {
  auto ignored = std::error_code{};
  auto const name = entry.path().filename();
  auto const digits = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  };
  auto const middle = name.stem().extension().string();  // ".PROCESS-COUNT"
  auto const dash = middle.find('-');
  return name.extension() == ".part" && dash != middle.npos &&
         digits(std::string_view{middle}.substr(1, dash - 1)) &&
         digits(std::string_view{middle}.substr(dash + 1)) && entry.is_regular_file(ignored);
}
}  // namespace

bool is_beginning(std::filesystem::path const& folder) {
  auto error = std::error_code{};
  auto const entries = std::filesystem::directory_iterator{folder, error};
  if (error) return error == std::errc::no_such_file_or_directory;
  return std::ranges::all_of(entries, is_unfinished);
}

std::set<std::string> configured(std::filesystem::path const& folder) {
  auto ignored = std::error_code{};
  auto const file = folder / "config.toml";
  auto keys = std::set<std::string>{};
  if (!std::filesystem::exists(file, ignored)) return keys;
  for (auto const& entry : parse_toml(read_text(file, 1 << 20), file.string())) {
    keys.insert(entry.key);
  }
  return keys;
}

void remove_unfinished(std::filesystem::path const& folder) {
  auto ignored = std::error_code{};
  for (auto const& entry : std::filesystem::directory_iterator{folder, ignored}) {
    if (is_unfinished(entry)) std::filesystem::remove(entry.path(), ignored);
  }
}

void check_output(std::filesystem::path const& file) {
  auto ignored = std::error_code{};
  if (file.empty()) throw InputError{"expected the name of a file to write, found an empty one"};
  expect_replaceable(file);
  auto const target = std::filesystem::is_symlink(file, ignored)
                          ? std::filesystem::weakly_canonical(file, ignored)
                          : file;
  auto const folder = detail::folder_of(target);
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw InputError{at(file.string(), "expected its folder to be there, found none")};
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) detail::throw_errno(file, "create");
}

void write_json(std::filesystem::path const& file, OrderedJson const& document) {
  write_atomically(file,
                   document.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

}  // namespace qlora::cli
