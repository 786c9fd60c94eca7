#include "termination.hpp"

namespace qlora::cli {
namespace {

volatile std::sig_atomic_t is_requested = 0;

extern "C" void note_termination(int) {
  is_requested = 1;
}

}  // namespace

Termination::Termination() {
  struct sigaction action {};
  action.sa_handler = note_termination;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGTERM, &action, &before_);
}

Termination::~Termination() {
  if (!requested()) ::sigaction(SIGTERM, &before_, nullptr);
}

bool Termination::requested() noexcept {
  return is_requested != 0;
}

void Termination::check() {
  if (requested()) throw Terminated{};
}

}  // namespace qlora::cli
