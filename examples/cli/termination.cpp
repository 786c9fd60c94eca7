#include "termination.hpp"

#include <atomic>

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
  // Writing a file goes on, so that what is left is whole.
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
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
