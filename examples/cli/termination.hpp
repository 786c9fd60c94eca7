/// SIGTERM: a run ends between two steps, or proteins, and leaves what it has.
#pragma once

#include <csignal>
#include <stdexcept>
#include <string>

namespace qlora::cli {

/// Thrown where a run notices that it is to end; the program's exit status is 143 then.
class Terminated : public std::runtime_error {
 public:
  explicit Terminated(std::string const& what = "stopped by SIGTERM") : std::runtime_error{what} {}
};

/// While one lives, SIGTERM is noted; a second one ends a process at once that is alone. One may
/// live within another.
class Termination {
 public:
  Termination();
  Termination(Termination const&) = delete;
  Termination& operator=(Termination const&) = delete;
  ~Termination();

  static bool requested() noexcept;
  /// Throws Terminated if it is.
  static void check();

 private:
  struct sigaction before_ {};
};

}  // namespace qlora::cli
