// One of two ranks, for tests/dist/mpi.cpp.
#include <chrono>
#include <string_view>
#include <thread>

#include <qlora/dist/collective.hpp>
#include <qlora/dist/mpi.hpp>

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto patience = std::chrono::milliseconds{5000};

auto is_stuck_at_the_end = false;

void compute_for(Clock::duration time) {
  for (auto const start = Clock::now(); Clock::now() - start < time;) {
  }
}

}  // namespace

/// As MPI has its functions replaced by who wants to watch it.
extern "C" int MPI_Finalize() {
  if (is_stuck_at_the_end) std::this_thread::sleep_for(std::chrono::minutes{1});
  return PMPI_Finalize();
}

int main(int, char** argv) {
  auto const does = std::string_view{argv[1]};
  auto mpi = qlora::dist::Mpi{patience};
  auto ranks = qlora::dist::Collective{mpi};
  auto const is_first = mpi.rank() == 0;
  ranks.wait();
  if (does == "hang" && !is_first) std::this_thread::sleep_for(std::chrono::minutes{1});
  if (does == "work") {
    // Blocked for long where nobody waits, and at work for long where the other waits.
    if (is_first) {
      compute_for(patience * 5 / 4);
    } else {
      std::this_thread::sleep_for(patience * 5 / 4);
    }
    ranks.wait();
    if (!is_first) compute_for(patience * 5 / 4);
  }
  is_stuck_at_the_end = does == "end" && !is_first;
  if (does == "end") mpi.will_end(3);
  ranks.wait();
}
