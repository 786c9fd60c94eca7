/// Files: read-only mappings, bounded text, and replacement that survives a crash.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <qlora/core/error.hpp>
#include <qlora/core/rounding.hpp>

namespace qlora::inline v1 {

/// A path or text fit for a one-line message: control and non-ASCII bytes become '?', long text is
/// cut.
inline std::string printable(std::string_view text, std::size_t limit = 120) {
  auto shown = std::string{text.substr(0, limit)};
  std::ranges::replace_if(
      shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > limit ? shown + "..." : shown;
}

namespace detail {

[[noreturn]] inline void throw_errno(std::filesystem::path const& path, std::string_view action) {
  auto const reason = std::generic_category().message(errno);
  throw SystemError{at(path.string(), std::string{"cannot "}.append(action) + ": " + reason)};
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_{fd} {}
  Descriptor(Descriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int get() const noexcept { return fd_; }

  /// Closes and reports what the destructor would have to swallow.
  [[nodiscard]] int close() noexcept { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

struct OpenFile {
  Descriptor descriptor;
  std::size_t size_bytes;
};

/// Opens a regular file for reading. What the user got wrong (nothing there, a folder, a pipe) is
/// an InputError, anything else a SystemError.
inline OpenFile open_regular(std::filesystem::path const& path) {
  if (path.empty()) throw InputError{"expected the name of a file, found an empty one"};
  // O_NONBLOCK: opening a pipe without a writer must fail below instead of waiting for ever.
  auto descriptor = Descriptor{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (descriptor.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP) {
      throw InputError{at(path.string(), "expected a file, found none")};
    }
    if (errno == ENXIO) {
      throw InputError{at(path.string(), "expected a regular file, found a device or socket")};
    }
    throw_errno(path, "open");
  }
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) throw_errno(path, "read the size");
  if (S_ISDIR(status.st_mode)) {
    throw InputError{at(path.string(), "expected a file, found a folder")};
  }
  if (!S_ISREG(status.st_mode)) {
    throw InputError{at(path.string(), "expected a regular file, found a device or pipe")};
  }
  return {std::move(descriptor), static_cast<std::size_t>(status.st_size)};
}

}  // namespace detail

/// A whole file mapped read-only. Pages are read on first touch; the file must not shrink
/// meanwhile.
class MappedFile {
 public:
  /// Throws InputError when `path` is no regular file, SystemError when it cannot be mapped.
  explicit MappedFile(std::filesystem::path path) : path_{std::move(path)} {
    auto const file = detail::open_regular(path_);
    size_ = file.size_bytes;
    if (size_ == 0) return;  // mmap refuses empty mappings
    auto const address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
    if (address == MAP_FAILED) {
      detail::throw_errno(path_, "map its " + std::to_string(size_) + " bytes");
    }
    data_ = static_cast<std::byte const*>(address);
  }
  MappedFile(MappedFile&& other) noexcept
      : path_{std::move(other.path_)},
        data_{std::exchange(other.data_, nullptr)},
        size_{std::exchange(other.size_, 0)} {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
  [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return {data_, size_}; }

  /// Gives the pages that lie wholly inside `part` of bytes() back to the system; they are read
  /// again if touched again. Keeps the resident memory of a reader that converts tensor by tensor
  /// small.
  void release(std::span<std::byte const> part) const noexcept {
    static auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    auto const begin = round_up(reinterpret_cast<std::uintptr_t>(part.data()), page);
    auto const end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) / page * page;
    if (begin >= end) return;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }

 private:
  std::filesystem::path path_;
  std::byte const* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The characters of `bytes`.
inline std::string_view as_text(std::span<std::byte const> bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

/// The whole file as text; InputError when it is longer than `limit_bytes`.
inline std::string read_text(std::filesystem::path const& path, std::size_t limit_bytes) {
  auto const file = detail::open_regular(path);
  if (file.size_bytes > limit_bytes) {
    throw InputError{at(path.string(), "expected at most " + std::to_string(limit_bytes) +
                                           " bytes, found " + std::to_string(file.size_bytes))};
  }
  auto text = std::string(file.size_bytes, '\0');
  auto filled = std::size_t{0};
  while (filled < text.size()) {
    auto const got = ::read(file.descriptor.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) detail::throw_errno(path, "read");
    if (got == 0) break;  // the file shrank meanwhile
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

/// Buffered output to one file; every failed write throws SystemError.
class FileWriter {
 public:
  FileWriter(int fd, std::filesystem::path path) : fd_{fd}, path_{std::move(path)} {}
  FileWriter(FileWriter const&) = delete;
  FileWriter& operator=(FileWriter const&) = delete;

  void write(std::span<std::byte const> bytes) {
    if (bytes.size() > buffer_.size() - used_) {
      flush();
      if (bytes.size() >= buffer_.size()) return write_all(bytes);
    }
    if (!bytes.empty()) std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  }
  void write(std::string_view text) { write(std::as_bytes(std::span{text})); }

  void flush() {
    write_all(std::span{buffer_}.first(used_));
    used_ = 0;
  }

 private:
  void write_all(std::span<std::byte const> bytes) {
    while (!bytes.empty()) {
      auto const written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) detail::throw_errno(path_, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  int fd_;
  std::filesystem::path path_;
  std::array<std::byte, 1 << 16> buffer_;
  std::size_t used_ = 0;
};

namespace detail {

/// The folder that a path stands in.
inline std::filesystem::path folder_of(std::filesystem::path const& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
}

/// So that what was made in the folder, or renamed, is still there after a crash.
inline void synchronise_folder(std::filesystem::path const& folder) {
  auto const descriptor = Descriptor{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0) {
    throw_errno(folder, "synchronise the folder");
  }
}

/// Removes its file unless the writing came to its end.
struct TemporaryFile {
  std::string path;
  ~TemporaryFile() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

}  // namespace detail

/// Throws InputError where a file of that name cannot be written: a folder, device or pipe.
inline void expect_replaceable(std::filesystem::path const& target) {
  auto ignored = std::error_code{};  // an unreadable folder is reported by who opens the file
  if (std::filesystem::is_directory(target, ignored)) {
    throw InputError{at(target.string(), "expected a file to write, found a folder")};
  }
  if (std::filesystem::exists(target, ignored) &&
      !std::filesystem::is_regular_file(target, ignored)) {
    throw InputError{at(target.string(), "expected a file to write, found a device or pipe")};
  }
}

/// Replaces `target` by what `write(FileWriter&)` writes: a temporary file beside it, synchronised,
/// then renamed. At any moment, a crash included, `target` holds all of the old content or all of
/// the new. A symbolic link stays, and what it points to is replaced. Throws InputError for a
/// folder, device or pipe, and SystemError; then `target` is untouched and the temporary file gone.
template <std::invocable<FileWriter&> Write>
void write_atomically(std::filesystem::path const& target, Write&& write) {
  expect_replaceable(target);
  auto ignored = std::error_code{};
  auto path = target;
  if (std::filesystem::is_symlink(target, ignored)) {
    path = std::filesystem::weakly_canonical(target, ignored);
    if (ignored) path = target;
  }
  static auto count = std::atomic<int>{0};
  auto const suffix = "." + std::to_string(::getpid()) + "-" + std::to_string(++count) + ".part";
  auto temporary = detail::TemporaryFile{path.string() + suffix};
  auto file = detail::Descriptor{
      ::open(temporary.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
  if (file.get() < 0) {
    temporary.path.clear();
    detail::throw_errno(path, "create");
  }
  auto writer = FileWriter{file.get(), path};
  std::forward<Write>(write)(writer);
  writer.flush();
  if (::fsync(file.get()) != 0) detail::throw_errno(path, "synchronise");
  if (file.close() != 0) detail::throw_errno(path, "close");
  if (::rename(temporary.path.c_str(), path.c_str()) != 0) detail::throw_errno(path, "rename to");
  temporary.path.clear();
  detail::synchronise_folder(detail::folder_of(path));
}

/// Replaces `path` by `text`, as above.
inline void write_atomically(std::filesystem::path const& path, std::string_view text) {
  write_atomically(path, [&](FileWriter& writer) { writer.write(text); });
}

}  // namespace qlora::inline v1
