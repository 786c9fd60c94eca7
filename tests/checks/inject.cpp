// A file layer that fails where it is told to, put in front of a program by LD_PRELOAD:
//
//     QLORA_FAULT=KIND:N      at the N-th operation on files below QLORA_FAULT_FOLDER, from 1
//
// KIND is `error` (EIO), `full` (ENOSPC, from then on), `short` (half a write), `interrupted`
// (EINTR, once), or `crash`: the process dies, and what was not synchronised is lost: contents of
// files, and renames and new folders whose own folder was not synchronised since; `crash-late`
// loses no rename and no folder. Operations are open for writing, write, fsync, rename, mkdir.
// `memory` fails the N-th call of malloc, calloc, realloc or aligned_alloc instead; oneDNN's, which
// are of posix_memalign, are left alone, since it does not look at what it gets. With
// QLORA_FAULT_LOG=FILE both numbers are left there at the end, and the newest checkpoint that was
// renamed and synchronised.
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

template <class Function>
Function next(char const* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}
auto const real_open = next<int (*)(char const*, int, ...)>("open");
auto const real_write = next<::ssize_t (*)(int, void const*, std::size_t)>("write");
auto const real_fsync = next<int (*)(int)>("fsync");
auto const real_rename = next<int (*)(char const*, char const*)>("rename");
auto const real_mkdir = next<int (*)(char const*, ::mode_t)>("mkdir");

// Allocations are counted from before main, and nothing here may allocate to do so.
long allocations = 0, failing_allocation = 0;

[[gnu::constructor]] void read_failing_allocation() {
  auto const* const fault = std::getenv("QLORA_FAULT");
  if (fault != nullptr && std::strncmp(fault, "memory:", 7) == 0) {
    failing_allocation = std::atol(fault + 7);
  }
}
bool allocation_fails() {
  if (__atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED) != failing_allocation) return false;
  errno = ENOMEM;
  return true;
}

/// Something that has a name since, and is lost with it unless its folder is synchronised.
struct Named {
  std::string from, to, before;
  bool is_folder = false, replaced = false;

  bool is_in(std::string const& folder) const { return to.substr(0, to.rfind('/')) == folder; }
};

class Layer {
 public:
  Layer() {
    auto const text = [](char const* name) {
      auto const* const value = std::getenv(name);
      return std::string{value == nullptr ? "" : value};
    };
    folder_ = text("QLORA_FAULT_FOLDER");
    log_ = text("QLORA_FAULT_LOG");
    auto const fault = text("QLORA_FAULT");
    kind_ = fault.substr(0, fault.find(':'));
    if (auto const colon = fault.find(':'); colon != fault.npos) {
      at_ = std::atol(fault.c_str() + colon + 1);
    }
  }
  ~Layer() { log(); }

  bool watches(std::string const& path) const {
    return !folder_.empty() && path.compare(0, folder_.size(), folder_) == 0;
  }
  std::string name_of(int descriptor) const {
    char path[4096];
    auto const link = "/proc/self/fd/" + std::to_string(descriptor);
    auto const size = ::readlink(link.c_str(), path, sizeof path);
    return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : std::string{};
  }

  /// 0, or the error of an operation that begins.
  int begin() {
    ++count_;
    if (kind_ == "full" && at_ > 0 && count_ >= at_) return ENOSPC;
    if (count_ != at_) return 0;
    if (kind_ == "error") return EIO;
    if (kind_ == "interrupted") return EINTR;
    if (kind_.compare(0, 5, "crash") == 0) crash();
    return 0;
  }
  bool cuts() const { return kind_ == "short" && count_ == at_; }

  void wrote(std::string const& file) { unsynchronised_.insert(file); }
  void synchronised(std::string const& path) {
    unsynchronised_.erase(path);
    std::erase_if(named_, [&](Named const& one) {
      if (!one.is_in(path)) return false;
      if (one.to.find("/step-") != one.to.npos) checkpoint_ = one.to;
      return true;
    });
  }
  void named(Named one) {
    if (unsynchronised_.erase(one.from) > 0) unsynchronised_.insert(one.to);
    named_.push_back(std::move(one));
  }

 private:
  void log() const {
    if (!log_.empty())
      std::ofstream{log_} << count_ << " " << allocations << " " << checkpoint_ << "\n";
  }

  [[noreturn]] void crash() {
    log();
    if (kind_ == "crash") {
      for (auto one = named_.rbegin(); one != named_.rend(); ++one) {
        if (one->is_folder) {
          std::filesystem::remove_all(one->to);
          continue;
        }
        real_rename(one->to.c_str(), one->from.c_str());
        if (unsynchronised_.erase(one->to) > 0) unsynchronised_.insert(one->from);
        if (one->replaced) std::ofstream{one->to, std::ios::binary} << one->before;
      }
    }
    for (auto const& file : unsynchronised_) {
      if (::truncate(file.c_str(), 0) != 0) continue;
    }
    ::raise(SIGKILL);
    std::abort();
  }

  std::string folder_, log_, kind_, checkpoint_;
  long at_ = 0, count_ = 0;
  std::set<std::string> unsynchronised_;
  std::vector<Named> named_;
};

Layer& layer() {
  static auto one = Layer{};
  return one;
}

int fail(int error) {
  errno = error;
  return -1;
}

std::string absolute(char const* path) {
  if (path[0] == '/') return path;
  char here[4096];
  return ::getcwd(here, sizeof here) != nullptr ? std::string{here} + "/" + path : path;
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) noexcept {
  return allocation_fails() ? nullptr : __libc_malloc(size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return allocation_fails() ? nullptr : __libc_memalign(alignment, size);
}

void* calloc(std::size_t count, std::size_t size) noexcept {
  return allocation_fails() ? nullptr : __libc_calloc(count, size);
}
void* realloc(void* before, std::size_t size) noexcept {
  return allocation_fails() ? nullptr : __libc_realloc(before, size);
}

int open(char const* path, int flags, ...) {
  auto mode = 0u;
  if ((flags & O_CREAT) != 0) {
    ::va_list list;
    va_start(list, flags);
    mode = va_arg(list, unsigned);
    va_end(list);
    if (layer().watches(absolute(path))) {
      if (auto const error = layer().begin()) return fail(error);
    }
  }
  return real_open(path, flags, mode);
}

::ssize_t write(int descriptor, void const* data, std::size_t size) {
  auto const name = layer().name_of(descriptor);
  if (!layer().watches(name)) return real_write(descriptor, data, size);
  if (auto const error = layer().begin()) return fail(error);
  layer().wrote(name);
  return real_write(descriptor, data, layer().cuts() ? (size + 1) / 2 : size);
}

int fsync(int descriptor) {
  auto const name = layer().name_of(descriptor);
  if (layer().watches(name)) {
    if (auto const error = layer().begin()) return fail(error);
  }
  layer().synchronised(name);  // the folder that the watched one is in, too
  return real_fsync(descriptor);
}

int rename(char const* from, char const* to) {
  auto one = Named{absolute(from), absolute(to), {}};
  if (!layer().watches(one.to)) return real_rename(from, to);
  if (auto const error = layer().begin()) return fail(error);
  if (auto old = std::ifstream{to, std::ios::binary}) {
    one.before = {std::istreambuf_iterator<char>{old}, {}};
    one.replaced = true;
  }
  auto const status = real_rename(from, to);
  if (status == 0) layer().named(std::move(one));
  return status;
}

int mkdir(char const* path, ::mode_t mode) {
  auto one = Named{{}, absolute(path), {}, true};
  if (!layer().watches(one.to)) return real_mkdir(path, mode);
  if (auto const error = layer().begin()) return fail(error);
  auto const status = real_mkdir(path, mode);
  if (status == 0) layer().named(std::move(one));
  return status;
}

}  // extern "C"
