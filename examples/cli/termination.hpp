/// SIGTERM: the program ends with status 143, at once or, where something is to be left whole, as
/// soon as whoever is at work looks.
#pragma once

#include <stdexcept>
#include <string>

namespace qlora::cli {

/// The program's exit status then.
inline constexpr int terminated_status = 143;

/// Thrown where a run notices that it is to end.
class Terminated : public std::runtime_error {
 public:
  explicit Terminated(std::string const& what = "stopped by SIGTERM") : std::runtime_error{what} {}
};

/// While one lives, SIGTERM is noted, and the work must look; another, two seconds later or more,
/// ends a process at once that is alone. One may live within another.
class Termination {
 public:
  Termination() noexcept;
  Termination(Termination const&) = delete;
  Termination& operator=(Termination const&) = delete;
  ~Termination();

  /// From here on the program sees to the signal. Call it when the team is there.
  static void install();

  static bool requested() noexcept;
  /// Throws Terminated if it is.
  static void check();
};

}  // namespace qlora::cli
