#include "checkpoint.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <system_error>

#include <unistd.h>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/output_folder.hpp>

#include "files.hpp"
#include "options.hpp"
#include "run_record.hpp"

namespace qlora::cli {
namespace {

/// Throws InputError where the storage does not give the file's bytes: the first touch of a mapped
/// page would end the process.
void expect_readable(std::filesystem::path const& path) {
  auto const file = detail::open_regular(path);
  auto block = std::array<char, 1 << 16>{};
  for (auto got = ::ssize_t{1}; got > 0;) {
    got = ::read(file.descriptor.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) got = 1;
    if (got < 0) {
      throw InputError{at(path.string(), "expected a file that can be read, found: " +
                                             std::generic_category().message(errno))};
    }
  }
}

}  // namespace

std::vector<std::filesystem::path> CheckpointFolder::files() const {
  auto found = std::vector<std::filesystem::path>{};
  auto error = std::error_code{};
  auto entries = std::filesystem::directory_iterator{path_, error};
  for (; !error && entries != end(entries); entries.increment(error)) {
    auto const& entry = *entries;
    auto const name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) found.push_back(entry.path());
  }
  // A folder that cannot be read is none without checkpoints, which a new run would replace.
  if (error && error != std::errc::no_such_file_or_directory) {
    throw SystemError{at(path_.string(), "cannot list the folder: " + error.message())};
  }
  std::ranges::sort(found, std::ranges::greater{});  // numbers are of one width
  return found;
}

std::optional<std::pair<std::filesystem::path, StoredCheckpoint>> CheckpointFolder::newest_whole(
    std::vector<std::string>& passed_over) const {
  for (auto const& file : files()) {
    try {
      expect_readable(file);
      return std::pair{file, read_checkpoint(file)};
    } catch (InputError const& error) {
      passed_over.push_back(std::string{"passed over "} + error.what());
    }
  }
  return std::nullopt;
}

std::optional<CheckpointFolder::Found> CheckpointFolder::newest(
    OrderedJson const& identity, std::vector<std::string>& passed_over) const {
  auto found = newest_whole(passed_over);
  if (!found) return std::nullopt;
  auto& [file, stored] = *found;
  check_identity(stored.identity, identity, file.string());
  return Found{std::move(file), std::move(stored.checkpoint)};
}

std::filesystem::path CheckpointFolder::write(Checkpoint const& checkpoint,
                                              CheckpointOptions const& options) const {
  char name[48];
  std::snprintf(name, sizeof name, "step-%012lld.safetensors",
                static_cast<long long>(checkpoint.training.steps));
  create_folder(path_);
  write_checkpoint(path_ / name, options.identity, checkpoint);
  remove_unfinished(path_);
  auto ignored = std::error_code{};
  auto kept = std::int64_t{0};
  for (auto const& file : files()) {
    auto const is_later = file.filename().string() > name;
    if (is_later || ++kept > options.keep) std::filesystem::remove(file, ignored);
  }
  return path_ / name;
}

void CheckpointFolder::check(OrderedJson const& identity,
                             std::vector<std::string> const& erase) const {
  auto ignored = std::vector<std::string>{};  // said when the run goes on
  auto found = newest_whole(ignored);
  if (!found) return;
  auto& [file, stored] = *found;
  for (auto const& key : erase) stored.identity.erase(key);
  check_identity(stored.identity, identity, file.string());
}

void CheckpointOptions::add_to(CLI::App& command) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  add_option(command, "--checkpoint-every", every,
             "steps between checkpoints, from which --resume goes on; 0: one at SIGTERM alone")
      ->check(CLI::Range(std::int64_t{0}, most));
  add_option(command, "--keep-checkpoints", keep, "how many of the newest stay")
      ->check(CLI::Range(std::int64_t{1}, most));
}

}  // namespace qlora::cli
