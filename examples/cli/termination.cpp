#include "termination.hpp"

#include <atomic>

#include "team.hpp"

namespace qlora::cli {
namespace {

/// Any thread may take the signal; the one that works looks at this.
std::atomic<bool> is_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void note_termination(int) {
  is_requested = true;
}

}  // namespace

Termination::Termination() {
  struct sigaction action {};
  action.sa_handler = note_termination;
  // Writing a file goes on, so that what is left is whole. Of a team, a scheduler's signal comes to
  // each process, and again by its launcher, which will kill it if need be.
  action.sa_flags = SA_RESTART | (Team::size() == 1 ? static_cast<int>(SA_RESETHAND) : 0);
  ::sigaction(SIGTERM, &action, &before_);
}

Termination::~Termination() {
  if (!requested()) ::sigaction(SIGTERM, &before_, nullptr);
}

bool Termination::requested() noexcept {
  return is_requested;
}

void Termination::check() {
  if (requested()) throw Terminated{};
}

}  // namespace qlora::cli
