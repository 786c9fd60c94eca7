/// A folder that is filled as a whole or not at all.
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <climits>
#include <fcntl.h>
#include <sys/file.h>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1 {

namespace detail {

/// Those that are empty, innermost first.
inline void remove_folders(std::vector<std::filesystem::path> const& folders) {
  auto ignored = std::error_code{};
  for (auto const& folder : folders) std::filesystem::remove(folder, ignored);
}

}  // namespace detail

/// Makes the folder, and those above it, such that a crash does not undo them. Returns those that
/// were not there before, innermost first. Throws InputError where something else is in the way,
/// and SystemError when it cannot; then none of them is.
inline std::vector<std::filesystem::path> create_folder(std::filesystem::path const& path) {
  using std::errc;
  auto const cannot = [&](std::error_code const& error) {
    for (auto const users_mistake :
         {errc::file_exists, errc::not_a_directory, errc::filename_too_long, errc::invalid_argument,
          errc::too_many_symbolic_link_levels}) {
      if (error == users_mistake) {
        throw InputError{at(
            printable(path.string()),
            "expected a folder there, or where one can be made, found none: " + error.message())};
      }
    }
    throw SystemError{at(path.string(), "cannot create the folder: " + error.message())};
  };
  if (path.native().size() >= PATH_MAX) cannot(std::make_error_code(errc::filename_too_long));
  auto made = std::vector<std::filesystem::path>{};
  auto error = std::error_code{};
  // A link that leads nowhere is there, too.
  for (auto folder = std::filesystem::absolute(path, error).lexically_normal();
       !folder.empty() && !std::filesystem::exists(std::filesystem::symlink_status(folder, error));
       folder = folder.parent_path()) {
    made.push_back(folder);
  }
  try {
    std::filesystem::create_directories(path, error);
    if (error) cannot(error);
    for (auto const& folder : made) detail::synchronise_folder(folder.parent_path());
  } catch (Error const&) {
    detail::remove_folders(made);
    throw;
  }
  return made;
}

/// Throws InputError for no path at all, and for one that holds something already: a folder that is
/// not empty, or a file.
inline void refuse_occupied(std::filesystem::path const& path) {
  if (path.empty()) throw InputError{"expected the name of a folder to fill, found an empty one"};
  auto ignored = std::error_code{};
  if (!std::filesystem::exists(path, ignored)) return;
  if (!std::filesystem::is_directory(path, ignored)) {
    throw InputError{at(path.string(), "expected a folder to fill, found a file")};
  }
  if (!std::filesystem::is_empty(path, ignored)) {
    throw InputError{at(path.string(), "expected an empty folder or none, found files in it")};
  }
}

/// A folder that nobody else fills meanwhile: an advisory lock (flock) on the folder itself, which
/// the system takes back however the process ends, and of which nothing remains.
class FolderLock {
 public:
  /// Throws InputError where another process has it, SystemError where there is no such folder.
  explicit FolderLock(std::filesystem::path const& path)
      : descriptor_{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
    if (descriptor_.get() < 0) detail::throw_errno(path, "open");
    if (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) == 0) return;
    if (errno != EWOULDBLOCK) detail::throw_errno(path, "lock");
    throw InputError{at(path.string(), "expected a folder of its own, found another run in it")};
  }

 private:
  detail::Descriptor descriptor_;
};

/// A new folder while it is being filled. Unless `keep` is called, the files whose names it gave
/// out are removed again, and the folders with them that were not there before.
class OutputFolder {
 public:
  /// Throws as `refuse_occupied` and `create_folder`.
  explicit OutputFolder(std::filesystem::path path) : path_{std::move(path)} {
    refuse_occupied(path_);
    made_ = create_folder(path_);
  }
  OutputFolder(OutputFolder const&) = delete;
  OutputFolder& operator=(OutputFolder const&) = delete;
  ~OutputFolder() {
    if (kept_) return;
    auto ignored = std::error_code{};
    for (auto const& file : files_) std::filesystem::remove(file, ignored);
    detail::remove_folders(made_);
  }

  [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }

  /// The path of a file to be written.
  [[nodiscard]] std::filesystem::path file(std::string const& name) {
    return files_.emplace_back(path_ / name);
  }

  /// The folder is complete.
  void keep() noexcept { kept_ = true; }

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::filesystem::path> made_;  // innermost first
  bool kept_ = false;
};

}  // namespace qlora::inline v1
