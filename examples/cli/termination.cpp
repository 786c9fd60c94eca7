#include "termination.hpp"

#include <atomic>
#include <csignal>
#include <string_view>

#include <unistd.h>

#include "team.hpp"

namespace qlora::cli {
namespace {

/// Any thread may take the signal; the one that works looks at this.
std::atomic<bool> is_requested = false;
std::atomic<int> living = 0;
std::atomic<bool> speaks = true;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

extern "C" void take_termination(int) {
  is_requested = true;
  if (living > 0) return;
  constexpr auto sentence = std::string_view{"qlora: stopped by SIGTERM\n"};
  if (speaks && ::write(STDERR_FILENO, sentence.data(), sentence.size()) < 0) {
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
  speaks = Team::size() == 1;  // a launcher also ends those that are left of a team so
  struct sigaction action {};
  action.sa_handler = take_termination;
  // Writing a file goes on, so that what is left is whole. Of a team, a scheduler's signal comes to
  // each process, and again by its launcher, which will kill it if need be.
  action.sa_flags = SA_RESTART | (Team::size() == 1 ? static_cast<int>(SA_RESETHAND) : 0);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool Termination::requested() noexcept {
  return is_requested;
}

void Termination::check() {
  if (requested()) throw Terminated{};
}

}  // namespace qlora::cli
