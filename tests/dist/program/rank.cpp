// One of two ranks, for tests/dist/mpi.cpp.
#include <chrono>
#include <string_view>
#include <thread>

#include <qlora/dist/collective.hpp>
#include <qlora/dist/mpi.hpp>

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto patience = std::chrono::milliseconds{2000};

auto is_stuck_at_the_end = false;

/// How many of 200 exchanges took as long as a nap, after one for which the first rank had to wait.
int naps(qlora::dist::Collective<qlora::dist::Mpi>& ranks) {
  constexpr auto nap = std::chrono::microseconds{50};
  if (ranks.rank() != 0) std::this_thread::sleep_for(40 * nap);
  ranks.wait();
  auto found = 0;
  for (auto i = 0; i < 200; ++i) {
    auto const start = Clock::now();
    ranks.wait();
    found += Clock::now() - start > nap ? 1 : 0;
  }
  return found;
}

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
  auto const is_slow = does == "exchange" && naps(ranks) > 50;
  is_stuck_at_the_end = does == "end" && !is_first;
  if (does == "end") mpi.will_end(3);
  ranks.wait();
  return is_slow ? 4 : 0;
}
