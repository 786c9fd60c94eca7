#include "termination.hpp"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <string_view>

#include <unistd.h>

#include "team.hpp"

namespace qlora::cli {
namespace {

/// Any thread may take the signal; the one that works looks at this.
std::atomic<bool> is_requested = false;
std::atomic<std::int64_t> requested_at = 0;  ///< a clock's nanoseconds
std::atomic<int> living = 0;
std::atomic<bool> is_alone = true;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t monotonic_nanoseconds() {
  auto time = timespec{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// A signal that comes again at once is the same request: `timeout` and schedulers send one to the
/// process and one to its group. Of a team, each launcher repeats it when it likes, and will kill.
bool is_repeated() {
  constexpr auto at_once = std::int64_t{2'000'000'000};
  return is_requested && (!is_alone || monotonic_nanoseconds() - requested_at < at_once);
}

extern "C" void take_termination(int) {
  if (is_repeated()) return;
  if (living > 0 && !is_requested) {
    requested_at = monotonic_nanoseconds();
    is_requested = true;
    return;
  }
  constexpr auto sentence = std::string_view{"qlora: stopped by SIGTERM\n"};
  if (is_alone && ::write(STDERR_FILENO, sentence.data(), sentence.size()) < 0) {
    // It is not heard.
  }
  ::_exit(terminated_status);
}

}  // namespace

Termination::Termination() noexcept {
  ++living;
}

Termination::~Termination() {
  --living;
}

void Termination::install() {
  is_alone = Team::size() == 1;  // a launcher also ends those that are left of a team so
  struct sigaction action {};
  action.sa_handler = take_termination;
  action.sa_flags = SA_RESTART;  // writing a file goes on, so that what is left is whole
  ::sigaction(SIGTERM, &action, nullptr);
}

bool Termination::requested() noexcept {
  return is_requested;
}

void Termination::check() {
  if (requested()) throw Terminated{};
}

}  // namespace qlora::cli
