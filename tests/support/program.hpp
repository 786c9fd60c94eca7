/// Programs run as a user would.
#pragma once

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/files.hpp"

namespace qlora::testing {

struct Outcome {
  int status = -1;
  std::string out, err;
  std::size_t peak_bytes = 0;  ///< of memory
};

/// `program ARGUMENTS`, under way in `folder`.
class RunningProgram {
 public:
  RunningProgram(char const* program, std::vector<std::string> const& arguments,
                 std::filesystem::path const& folder)
      : out_{(folder / "stdout.txt").string()}, err_{(folder / "stderr.txt").string()} {
    auto const redirect = [](std::string const& file, int to) {
      auto const descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      if (descriptor < 0 || ::dup2(descriptor, to) < 0) ::_exit(126);
    };
    child_ = ::fork();
    if (child_ != 0) return;
    auto pointers = std::vector<char*>{const_cast<char*>(program)};
    for (auto const& argument : arguments) {
      pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);
    redirect(out_, STDOUT_FILENO);
    redirect(err_, STDERR_FILENO);
    if (::chdir(folder.c_str()) == 0) ::execv(program, pointers.data());
    ::_exit(127);
  }
  RunningProgram(RunningProgram const&) = delete;
  RunningProgram& operator=(RunningProgram const&) = delete;
  ~RunningProgram() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  void signal(int number) const {
    if (child_ > 0) ::kill(child_, number);
  }
  /// Whether it sees to that signal by now, as the system tells.
  bool catches(int number) const {
    auto const text = read_file("/proc/" + std::to_string(child_) + "/status");
    auto const mask = text.find("SigCgt:\t");
    return mask != text.npos &&
           (std::stoull(text.substr(mask + 8), nullptr, 16) >> (number - 1) & 1) != 0;
  }
  bool has_ended() {
    if (child_ > 0 && ::wait4(child_, &status_, WNOHANG, &usage_) == child_) child_ = 0;
    return child_ <= 0;
  }
  /// Its status, minus the number where a signal ended it, and its output.
  Outcome wait() {
    if (child_ > 0) ::wait4(child_, &status_, 0, &usage_);
    child_ = 0;
    auto const status = WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
    return {status, read_file(out_), read_file(err_),
            static_cast<std::size_t>(usage_.ru_maxrss) * 1024};
  }

 private:
  std::string out_, err_;
  ::pid_t child_ = -1;
  int status_ = 0;
  rusage usage_{};
};

/// Status and output of `program ARGUMENTS`, run in `folder`.
inline Outcome run_program(char const* program, std::vector<std::string> const& arguments,
                           std::filesystem::path const& folder) {
  return RunningProgram{program, arguments, folder}.wait();
}

}  // namespace qlora::testing
