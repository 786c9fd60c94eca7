/// Programs run as a user would.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/files.hpp"

namespace qlora::testing {

struct Outcome {
  int status = -1;
  std::string out, err;
};

/// Status and output of `program ARGUMENTS`, run in `folder`.
inline Outcome run_program(char const* program, std::vector<std::string> const& arguments,
                           std::filesystem::path const& folder) {
  auto const out = (folder / "stdout.txt").string();
  auto const err = (folder / "stderr.txt").string();
  auto const redirect = [](std::string const& file, int to) {
    auto const descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (descriptor < 0 || ::dup2(descriptor, to) < 0) ::_exit(126);
  };
  auto const child = ::fork();
  if (child == 0) {
    auto pointers = std::vector<char*>{const_cast<char*>(program)};
    for (auto const& argument : arguments) {
      pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);
    redirect(out, STDOUT_FILENO);
    redirect(err, STDERR_FILENO);
    if (::chdir(folder.c_str()) == 0) ::execv(program, pointers.data());
    ::_exit(127);
  }
  auto status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
}

}  // namespace qlora::testing
